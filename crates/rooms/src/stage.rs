//! Events that other servers send are taken in at once, and judged later: the durable inbox.

use std::collections::BTreeMap;

use blaupause_data::{
    DIRECTORY, DataError, LIMITS, NOW, ReadSet, Write,
    rows::{HeadRow, RoomServerRow},
};
use blaupause_graph::{Unverified, rules_of};
use ruma::{OwnedEventId, OwnedRoomId, RoomId, ServerName, room_version_rules::RoomVersionRules};
use serde_json::value::RawValue;

use crate::{
    Rooms, RoomsError,
    rows::{InboxRoomRow, InboxRow, Waiting},
};

/// Events that wait in one room. What comes when there are more is refused: its sender has to wait
/// until the room has caught up, and what is missing then is asked for.
const WAITING_MAX: usize = 5_000;
/// Bytes of events that go into one batch.
const BATCH_BYTES_MAX: usize = LIMITS.batch_bytes_max / 2;

/// What became of each event of a transaction: taken in, or why not.
pub type Staged = BTreeMap<OwnedEventId, Result<(), String>>;

/// Events of one room that are taken in.
struct Arrived {
    event_id: OwnedEventId,
    pdu: String,
}

impl Rooms {
    /// Take in the events of a transaction. Durable when this returns; nothing is fetched and
    /// nothing is judged. What is no event, or of a room that this server does not know, has no
    /// answer.
    ///
    /// # Errors
    /// The store cannot be read or written. What is not taken in may be sent again.
    pub async fn stage(
        &self,
        origin: &ServerName,
        pdus: Vec<Box<RawValue>>,
    ) -> Result<Staged, RoomsError> {
        let mut by_room: BTreeMap<OwnedRoomId, Vec<Box<RawValue>>> = BTreeMap::new();
        for pdu in pdus {
            if let Some(room) = Unverified::room_id_of(&pdu) {
                by_room.entry(room).or_default().push(pdu);
            }
        }
        let mut staged = Staged::new();
        let rooms: Vec<OwnedRoomId> = by_room.keys().cloned().collect();
        for (room, rules, is_ours) in self.known_rooms(&rooms).await? {
            let events = by_room.remove(&room).unwrap_or_default();
            if !is_ours {
                self.take_outside_events(origin, &room, &events).await?;
            }
            let admitted = is_ours && self.acl_allows(&room, origin).await?;
            let refusal = match (is_ours, admitted) {
                (false, _) => Some("this server is not in the room"),
                (true, false) => Some("the room does not admit your server"),
                (true, true) => None,
            };
            if refusal.is_none() {
                self.note_strangers(origin, &room, &events).await?;
            }
            let mut arrived = Vec::new();
            for raw in events {
                let Ok(event) = Unverified::parse(&raw, &rules) else { continue };
                let event_id = event.event_id().to_owned();
                let denied = self.federation().hears(event.sender().server_name()).err();
                let answer = match (refusal, denied) {
                    (Some(why), _) => Err(why.to_owned()),
                    (None, Some(denied)) => Err(denied.to_string()),
                    (None, None) => {
                        let (event_id, pdu) = (event_id.clone(), raw.get().to_owned());
                        arrived.push(Arrived { event_id, pdu });
                        Ok(())
                    }
                };
                staged.insert(event_id, answer);
            }
            self.stage_in(origin, &room, arrived, &mut staged).await?;
        }
        for (room, events) in by_room {
            self.take_outside_events(origin, &room, &events).await?;
        }
        Ok(staged)
    }

    /// Those of the rooms that this server has, and whether somebody of it is joined. One round
    /// trip.
    async fn known_rooms(
        &self,
        rooms: &[OwnedRoomId],
    ) -> Result<Vec<(OwnedRoomId, RoomVersionRules, bool)>, DataError> {
        let own = self.data().server_name().to_owned();
        let mut want = ReadSet::new();
        let slots: Vec<_> = rooms
            .iter()
            .map(|room| {
                let part = self.data().parts().room(room);
                (room, want.get::<HeadRow>(part, &()), want.get::<RoomServerRow>(part, &own))
            })
            .collect();
        let got = want.run(self.data()).await?;
        let mut known = Vec::new();
        for (room, head, ours) in slots {
            let Some(head) = got.one(head)?.filter(|head| head.room_id == **room) else { continue };
            let Some(rules) = rules_of(&head.value.version) else { continue };
            known.push((room.clone(), rules, got.one(ours)?.is_some()));
        }
        Ok(known)
    }

    async fn stage_in(
        &self,
        origin: &ServerName,
        room: &RoomId,
        arrived: Vec<Arrived>,
        staged: &mut Staged,
    ) -> Result<(), RoomsError> {
        let part = self.data().parts().room(room);
        let since_ms = self.data().env().now_millis();
        let mut arrived = arrived.into_iter().peekable();
        while arrived.peek().is_some() {
            let mut write = Write::new(part);
            let mut index = 0;
            while write.size_bytes() < BATCH_BYTES_MAX
                && let Some(Arrived { event_id, pdu }) = arrived.next()
            {
                if self.inbox().waiting(room) + usize::from(index) >= WAITING_MAX {
                    let busy = "too many events of this room wait".to_owned();
                    staged.insert(event_id, Err(busy));
                    continue;
                }
                let waiting = Waiting { origin: origin.to_owned(), pdu, since_ms };
                write.put::<InboxRow>(part, &(NOW, index), &waiting);
                index += 1;
            }
            if index == 0 {
                continue;
            }
            write.put::<InboxRoomRow>(DIRECTORY, &room.to_owned(), &());
            let durable =
                self.inbox().staged(room, usize::from(index), || self.data().submit(write));
            durable.await.map_err(DataError::from)?;
            self.inbox().wake(room);
        }
        Ok(())
    }
}
