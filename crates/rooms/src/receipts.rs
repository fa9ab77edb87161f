//! How far people have read (client-server API, "Receipts", "Fully read markers").
//!
//! A receipt lies twice in the room's partition: by its owner, to see whether a new one goes
//! forward, and by the position at which it moved, for sync. Each owner, kind and thread has one.

use std::collections::{BTreeMap, HashMap};

use blaupause_data::{
    Change, Data, DataError, Event, Found, NOW, Order, Place, ReadSet, StreamPos, Write,
    rows::UserRoomRow,
};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::receipt::ReceiptThread,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Rooms, RoomsError,
    read::{EventInRoom, RoomAccess},
    relates::relation_in,
    rows::{Receipt, ReceiptKind, ReceiptLogRow, ReceiptRow},
    send::{ATTEMPTS_MAX, busy},
};

/// Newest receipts of a room that are given to a client at once. Older ones only tell where people
/// who have been away for long had stopped.
const RECEIPTS_MAX: u32 = 5_000;
/// Receipts of one person in one room that are looked at: one for each thread they read.
const OWN_RECEIPTS_MAX: u32 = 2_000;
/// Relations that are followed to find the thread that an event belongs to (client-server API,
/// "Threaded read receipts").
const THREAD_HOPS_MAX: usize = 3;

const MAIN: &str = "main";
const FULLY_READ: &str = "m.fully_read";

/// A receipt to be set.
#[derive(Clone, Debug)]
pub struct NewReceipt {
    pub kind: ReceiptKind,
    pub event: OwnedEventId,
    pub thread: ReceiptThread,
}

/// How far somebody has read, by public and private receipts alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadUpTo {
    /// Everything up to here is read, in every thread; the moment of joining at least.
    pub everywhere: Place,
    /// As `everywhere`, and what was read of the main timeline.
    pub main: Place,
    /// As `everywhere`, and what was read of a thread, by its root.
    pub threads: HashMap<OwnedEventId, Place>,
}

/// One entry of the content of an `m.receipt` event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptEntry {
    /// Milliseconds since the Unix epoch.
    pub ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
}

/// The content of an `m.receipt` event: event, kind, user.
pub type ReceiptContent =
    BTreeMap<OwnedEventId, BTreeMap<&'static str, BTreeMap<OwnedUserId, ReceiptEntry>>>;

impl RoomAccess {
    /// Set receipts of the reader, in one batch. Those that would go back are left as they are.
    /// Durable when this returns.
    ///
    /// # Errors
    /// [`RoomsError::NotJoined`]; [`RoomsError::EventUnknown`] if an event is none that the
    /// reader may see; [`RoomsError::Invalid`] if an event is not in the thread named.
    pub async fn set_receipts(&self, receipts: &[NewReceipt]) -> Result<(), RoomsError> {
        self.must_be_joined()?;
        let ids: Vec<_> = receipts.iter().map(|receipt| receipt.event.clone()).collect();
        let events = self.events_by_id(&ids).await?;
        let mut moves = Vec::new();
        for (receipt, event) in receipts.iter().zip(events) {
            let event = event.ok_or(RoomsError::EventUnknown)?;
            let thread = self.thread_of_receipt(&receipt.thread, &event).await?;
            let place = event.event().place.ok_or(RoomsError::EventUnknown)?;
            moves.push(Receipt {
                user_id: self.reader.user.clone(),
                kind: receipt.kind,
                event_id: receipt.event.clone(),
                place,
                thread,
                ts: self.rooms.data().env().now_millis(),
            });
        }
        for _ in 0..ATTEMPTS_MAX {
            match self.rooms.move_receipts(&self.room, &moves).await {
                Err(error) if error.is_conflict() => {}
                done => return done,
            }
        }
        Err(busy())
    }

    /// Note how far the reader has read completely: a marker that only they see. It does not go
    /// back.
    ///
    /// # Errors
    /// As [`RoomAccess::set_receipts`].
    pub async fn set_fully_read(&self, event: &OwnedEventId) -> Result<(), RoomsError> {
        #[derive(Deserialize)]
        struct Content {
            event_id: OwnedEventId,
        }
        self.must_be_joined()?;
        let accounts = self.rooms.accounts();
        let user = &self.reader.user;
        let before = accounts.account_data(user, Some(&self.room), FULLY_READ).await?;
        let before = before.and_then(|json| serde_json::from_str::<Content>(json.get()).ok());
        let ids = [Some(event.clone()), before.map(|before| before.event_id)];
        let ids: Vec<_> = ids.into_iter().flatten().collect();
        let mut events = self.events_by_id(&ids).await?.into_iter();
        let place = |event: Option<EventInRoom>| event.and_then(|event| event.event().place);
        let new = place(events.next().flatten()).ok_or(RoomsError::EventUnknown)?;
        if place(events.next().flatten()).is_some_and(|old| old >= new) {
            return Ok(());
        }
        let content = serde_json::value::to_raw_value(&json!({ "event_id": event }))
            .expect("plain data is JSON");
        accounts.set_server_account_data(user, Some(&self.room), FULLY_READ, &content).await?;
        Ok(())
    }

    /// The thread of a receipt, after checking that its event lies there.
    async fn thread_of_receipt(
        &self,
        thread: &ReceiptThread,
        event: &EventInRoom,
    ) -> Result<Option<String>, RoomsError> {
        let wrong = RoomsError::Invalid("the event is not in the thread named by thread_id");
        match thread {
            ReceiptThread::Unthreaded => Ok(None),
            ReceiptThread::Main => match self.thread_of(event).await?.0 {
                None => Ok(Some(MAIN.to_owned())),
                Some(_) => Err(wrong),
            },
            ReceiptThread::Thread(root) => {
                let (thread, top) = self.thread_of(event).await?;
                // The root, and what relates to it, may be read as part of its thread.
                let belongs = thread.as_ref().unwrap_or(&top) == root;
                if belongs { Ok(Some(root.to_string())) } else { Err(wrong) }
            }
            _ => Err(RoomsError::Invalid("thread_id must be `main` or an event id")),
        }
    }

    /// The root of the thread that an event belongs to, if any, and the topmost event that it
    /// relates to.
    async fn thread_of(
        &self,
        event: &EventInRoom,
    ) -> Result<(Option<OwnedEventId>, OwnedEventId), RoomsError> {
        let mut top = event.event().stored.event_id.clone();
        let mut relation = relation_of(event.event());
        for _ in 0..THREAD_HOPS_MAX {
            let Some((rel_type, target)) = relation else { break };
            if rel_type == "m.thread" {
                return Ok((Some(target), top));
            }
            let Some(next) =
                self.events_by_id(std::slice::from_ref(&target)).await?.pop().flatten()
            else {
                break;
            };
            top = target;
            relation = relation_of(next.event());
        }
        Ok((None, top))
    }
}

fn relation_of(event: &Event) -> Option<(String, OwnedEventId)> {
    if event.state_key.is_some() { None } else { relation_in(event.content()) }
}

impl Rooms {
    /// One read, one batch; no batch if nothing moves.
    pub(crate) async fn move_receipts(
        &self,
        room: &RoomId,
        moves: &[Receipt],
    ) -> Result<(), RoomsError> {
        let data = self.data();
        let part = data.parts().room(room);
        let keys: Vec<_> = moves.iter().map(|receipt| key(data, receipt)).collect();
        let old = data.get_many::<ReceiptRow>(keys.iter().map(|key| (part, key))).await?;
        let mut write = Write::new(part);
        for ((receipt, key), old) in moves.iter().zip(&keys).zip(&old) {
            if old.as_ref().is_some_and(|old| old.place >= receipt.place) {
                continue;
            }
            let version = old.as_ref().map_or(0, |old| old.version);
            write.require_version::<ReceiptRow>(part, key, version);
            write.put_version::<ReceiptRow>(part, key, version + 1, receipt);
            if let Some(old) = old {
                write.del::<ReceiptLogRow>(part, &(old.pos, old.kind as u8));
            }
            write.put::<ReceiptLogRow>(part, &(NOW, receipt.kind as u8), receipt);
            let (room, user) = (room.to_owned(), receipt.user_id.clone());
            write.change(&Change::Receipt { room, user });
        }
        if !write.is_empty() {
            data.commit(write).await?;
        }
        Ok(())
    }

    /// The receipts of a room that moved in `since < position <= until`, as the content of an
    /// `m.receipt` event: everybody's public ones and the user's own private ones. `None` if
    /// there are none. `since` 0 gives all.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn receipts_since(
        &self,
        user: &UserId,
        room: &RoomId,
        since: StreamPos,
        until: StreamPos,
    ) -> Result<Option<ReceiptContent>, RoomsError> {
        let mut found = self.receipts_of_rooms(user, &[(room.to_owned(), since)], until).await?;
        Ok(found.pop().flatten())
    }

    /// As [`Rooms::receipts_since`] for many rooms, each from its own position on; one round trip.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn receipts_of_rooms(
        &self,
        user: &UserId,
        rooms: &[(OwnedRoomId, StreamPos)],
        until: StreamPos,
    ) -> Result<Vec<Option<ReceiptContent>>, RoomsError> {
        let mut want = ReadSet::new();
        let slots: Vec<_> = rooms
            .iter()
            .map(|(room, since)| {
                want.range::<ReceiptLogRow>(
                    self.data().parts().room(room),
                    std::ops::Bound::Excluded(since),
                    std::ops::Bound::Included(&until),
                    Order::Backward,
                    RECEIPTS_MAX,
                )
            })
            .collect();
        let got = want.run(self.data()).await?;
        let contents = slots.into_iter().map(|slot| {
            let rows = got.many(slot)?.rows;
            let receipts = rows.into_iter().map(|(_, row)| row.value);
            let shown = receipts
                .filter(|receipt| receipt.kind == ReceiptKind::Read || receipt.user_id == user);
            Ok(content(shown))
        });
        contents.collect::<Result<_, DataError>>().map_err(RoomsError::from)
    }

    /// How far a local user has read in a room. One round trip.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn read_up_to(&self, user: &UserId, room: &RoomId) -> Result<ReadUpTo, RoomsError> {
        let data = self.data();
        let (part, user) = (data.parts().room(room), data.parts().user(user));
        let mut want = ReadSet::new();
        let own = want.prefix::<ReceiptRow>(part, &user, Order::Forward, OWN_RECEIPTS_MAX);
        let member = want.get::<UserRoomRow>(user, &part);
        let got = want.run(data).await?;
        let member = got.one(member)?.filter(|member| member.room_id == room);
        // What happened before somebody came is not news to them.
        let joined = member.as_ref().map_or(Place::START, |row| Place::after(row.entered_at()));
        Ok(read_up_to(joined, got.many(own)?.rows.into_iter().map(|(_, row)| row)))
    }
}

fn read_up_to(joined: Place, receipts: impl Iterator<Item = Found<Receipt>>) -> ReadUpTo {
    let mut read = ReadUpTo { everywhere: joined, main: joined, threads: HashMap::new() };
    for Found { value: receipt, .. } in receipts {
        let place = receipt.place;
        match receipt.thread.as_deref() {
            None => read.everywhere = read.everywhere.max(place),
            Some(MAIN) => read.main = read.main.max(place),
            Some(root) => {
                let Ok(root) = OwnedEventId::try_from(root) else { continue };
                let upto = read.threads.entry(root).or_insert(place);
                *upto = place.max(*upto);
            }
        }
    }
    read.main = read.main.max(read.everywhere);
    for upto in read.threads.values_mut() {
        *upto = read.everywhere.max(*upto);
    }
    read
}

fn key(data: &Data, receipt: &Receipt) -> <ReceiptRow as blaupause_data::Row>::Key {
    let thread = receipt.thread.clone().unwrap_or_default();
    (data.parts().user(&receipt.user_id), receipt.kind as u8, thread)
}

/// The content of one event; newest receipts first. Where somebody has receipts in and outside of
/// threads at the same event there is room for one: the one outside says more.
fn content(receipts: impl Iterator<Item = Receipt>) -> Option<ReceiptContent> {
    let mut content = ReceiptContent::new();
    for receipt in receipts {
        let kind = match receipt.kind {
            ReceiptKind::Read => "m.read",
            ReceiptKind::Private => "m.read.private",
        };
        let users = content.entry(receipt.event_id).or_default().entry(kind).or_default();
        let entry = ReceiptEntry { ts: receipt.ts, thread_id: receipt.thread };
        match users.get(&receipt.user_id) {
            Some(known) if known.thread_id.is_none() || entry.thread_id.is_some() => {}
            _ => drop(users.insert(receipt.user_id, entry)),
        }
    }
    (!content.is_empty()).then_some(content)
}

#[cfg(test)]
mod tests {
    use blaupause_data::StreamPos;
    use ruma::{event_id, user_id};

    use super::*;

    fn receipt(kind: ReceiptKind, at: u64, thread: Option<&str>) -> Found<Receipt> {
        let value = Receipt {
            user_id: user_id!("@alice:x").to_owned(),
            kind,
            event_id: event_id!("$e").to_owned(),
            place: Place::live(StreamPos(at), 0),
            thread: thread.map(ToOwned::to_owned),
            ts: at,
        };
        Found { version: 1, pos: StreamPos(at), value }
    }

    #[test]
    fn the_furthest_receipt_counts_public_or_private() {
        let joined = Place::after(StreamPos(3));
        let read = read_up_to(
            joined,
            [
                receipt(ReceiptKind::Read, 5, None),
                receipt(ReceiptKind::Private, 8, None),
                receipt(ReceiptKind::Read, 9, Some("main")),
                receipt(ReceiptKind::Read, 6, Some("$root")),
            ]
            .into_iter(),
        );
        assert_eq!(read.everywhere, Place::live(StreamPos(8), 0));
        assert_eq!(read.main, Place::live(StreamPos(9), 0));
        assert_eq!(read.threads[event_id!("$root")], Place::live(StreamPos(8), 0));
    }

    #[test]
    fn what_was_said_before_joining_counts_as_read() {
        let joined = Place::after(StreamPos(3));
        let read = read_up_to(joined, [receipt(ReceiptKind::Read, 2, None)].into_iter());
        assert_eq!((read.everywhere, read.main), (joined, joined));
    }

    #[test]
    fn the_content_has_one_entry_for_a_user_and_event() {
        let receipts = [
            receipt(ReceiptKind::Read, 5, Some("main")).value,
            receipt(ReceiptKind::Read, 4, None).value,
        ];
        let content = content(receipts.into_iter()).expect("not empty");
        let json = serde_json::value::to_raw_value(&content).expect("plain data is JSON");
        assert_eq!(json.get(), r#"{"$e":{"m.read":{"@alice:x":{"ts":4}}}}"#);
    }
}
