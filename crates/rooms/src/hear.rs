//! What other servers tell of rooms and do not want to be kept: who types, and how far their users
//! have read (server-server API, "Typing Notifications", "Receipts").
//!
//! A server speaks for its own users, in rooms that both are in and that admit the server. What it
//! says beyond that is passed over: the rest of what it says still counts.

mod early;

use std::{collections::BTreeMap, time::Duration};

use blaupause_data::{
    Found, Member, Part,
    rows::{EventNoRow, MemberRow, RoomMember},
};
use ruma::{
    OwnedUserId, RoomId, ServerName,
    api::federation::transactions::edu::{ReceiptContent, ReceiptData, TypingContent},
    events::receipt::ReceiptThread,
};

pub(crate) use early::EarlyReceipts;

use crate::{ReceiptKind, Rooms, RoomsError, rows::Receipt, send::ATTEMPTS_MAX};

/// How long a remote user types without their server saying so again.
const TYPING_TIME: Duration = Duration::from_secs(60);
/// Rooms of one EDU that are looked at.
const ROOMS_MAX: usize = 100;
/// Receipts of one room in one EDU.
const RECEIPTS_MAX: usize = 500;

impl Rooms {
    /// A user of another server types, or stopped.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn hear_typing(
        &self,
        origin: &ServerName,
        typing: &TypingContent,
    ) -> Result<(), RoomsError> {
        let TypingContent { room_id, user_id, .. } = typing;
        if user_id.server_name() != origin || !self.listens_to(origin, room_id).await? {
            return Ok(());
        }
        let users = self.joined_there(room_id, vec![user_id.clone()]).await?;
        if !users.is_empty() {
            self.note_typing(user_id, room_id, typing.typing.then_some(TYPING_TIME));
        }
        Ok(())
    }

    /// Users of another server have read further. Receipts for events that are not known here wait
    /// for them a moment; those that would go back are passed over.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn hear_receipts(
        &self,
        origin: &ServerName,
        receipts: &ReceiptContent,
    ) -> Result<(), RoomsError> {
        for (room, of_room) in receipts.receipts.iter().take(ROOMS_MAX) {
            let mut said: BTreeMap<OwnedUserId, &ReceiptData> = BTreeMap::new();
            for (user, data) in of_room.read.iter().take(RECEIPTS_MAX) {
                if user.server_name() == origin {
                    said.insert(user.clone(), data);
                }
            }
            if said.is_empty() || !self.listens_to(origin, room).await? {
                continue;
            }
            let users = self.joined_there(room, said.keys().cloned().collect()).await?;
            said.retain(|user, _| users.contains(user));
            let said = said.into_iter().map(|(user, data)| (user, data.clone())).collect();
            let early = self.take_receipts(room, said).await?;
            if !early.is_empty() {
                let now = self.data().env().now_millis();
                self.early_receipts().keep(room, early, now);
                // Their events may have come just now.
                self.look_again_for_receipts(room).await;
            }
        }
        Ok(())
    }

    /// Receipts of people who are joined. Returns those whose events are not known.
    async fn take_receipts(
        &self,
        room: &RoomId,
        said: BTreeMap<OwnedUserId, ReceiptData>,
    ) -> Result<BTreeMap<OwnedUserId, ReceiptData>, RoomsError> {
        let (moves, early) = self.remote_receipts(room, said).await?;
        for _ in 0..ATTEMPTS_MAX {
            match self.move_receipts(room, &moves).await {
                Err(error) if error.is_conflict() => {}
                done => {
                    done?;
                    break;
                }
            }
        }
        Ok(early)
    }

    /// Whether a room is also ours and admits the server.
    async fn listens_to(&self, origin: &ServerName, room: &RoomId) -> Result<bool, RoomsError> {
        let own = self.data().server_name();
        let servers = self.data().servers_in(room).await?;
        let both = servers.iter().any(|server| server == own)
            && servers.iter().any(|server| server == origin);
        Ok(both && self.acl_allows(room, origin).await?)
    }

    /// Those who are joined. One read.
    async fn joined_there(
        &self,
        room: &RoomId,
        users: Vec<OwnedUserId>,
    ) -> Result<Vec<OwnedUserId>, RoomsError> {
        let parts = self.data().parts();
        let part = parts.room(room);
        let keys: Vec<_> =
            users.iter().map(|user| (Member::Join as u8, parts.user(user))).collect();
        let rows = self.data().get_many::<MemberRow>(keys.iter().map(|key| (part, key))).await?;
        let is_there = |(user, row): &(OwnedUserId, Option<Found<RoomMember>>)| {
            row.as_ref().is_some_and(|row| row.user_id == *user)
        };
        let (there, others): (Vec<_>, Vec<_>) = users.into_iter().zip(rows).partition(is_there);
        let mut there: Vec<_> = there.into_iter().map(|(user, _)| user).collect();
        if !others.is_empty() && self.is_partial(room).await? {
            // Most members are not known: their server says that they are there.
            let others = others.into_iter().map(|(user, _)| user).collect();
            there.extend(self.not_known_to_be_gone(part, others).await?);
        }
        Ok(there)
    }

    /// Those who did not leave and are not banned, as far as is known. One read.
    async fn not_known_to_be_gone(
        &self,
        part: Part,
        users: Vec<OwnedUserId>,
    ) -> Result<Vec<OwnedUserId>, RoomsError> {
        let parts = self.data().parts();
        let keys: Vec<_> = users
            .iter()
            .flat_map(|user| [Member::Leave, Member::Ban].map(|it| (it as u8, parts.user(user))))
            .collect();
        let rows = self.data().get_many::<MemberRow>(keys.iter().map(|key| (part, key))).await?;
        let gone = rows.chunks(2).map(|rows| rows.iter().any(Option::is_some));
        Ok(users.into_iter().zip(gone).filter(|(_, gone)| !gone).map(|(user, _)| user).collect())
    }

    /// Receipts with the places of their events, and those whose events are not known. Two reads.
    async fn remote_receipts(
        &self,
        room: &RoomId,
        said: BTreeMap<OwnedUserId, ReceiptData>,
    ) -> Result<(Vec<Receipt>, BTreeMap<OwnedUserId, ReceiptData>), RoomsError> {
        let data = self.data();
        let part = data.parts().room(room);
        let said: Vec<_> = said
            .into_iter()
            .filter_map(|(user, data)| Some((user, data.event_ids.last()?.clone(), data)))
            .collect();
        let keys: Vec<_> =
            said.iter().map(|(_, event, _)| data.parts().hash16(event.as_str())).collect();
        let numbers = data.get_many::<EventNoRow>(keys.iter().map(|key| (part, key))).await?;
        let wanted: Vec<_> = numbers.iter().flatten().map(|number| (part, number.value)).collect();
        let mut events = data.events(&wanted).await?.into_iter();
        let (mut receipts, mut early) = (Vec::new(), BTreeMap::new());
        for ((user_id, event_id, said), number) in said.into_iter().zip(&numbers) {
            if number.is_none() {
                early.insert(user_id, said);
                continue;
            }
            let event = events.next().flatten();
            let event = event.filter(|event| event.stored.event_id == event_id);
            let (Some(place), Some(thread)) =
                (event.and_then(|event| event.place), thread_of(&said.data.thread))
            else {
                continue;
            };
            // A clock that goes wrong must not put people's reading into the future.
            let now = data.env().now_millis();
            let ts = said.data.ts.map_or(now, |ts| u64::from(ts.get()).min(now));
            let kind = ReceiptKind::Read;
            receipts.push(Receipt { user_id, kind, event_id, place, thread, ts });
        }
        Ok((receipts, early))
    }
}

/// `None`: not a thread that is known.
fn thread_of(thread: &ReceiptThread) -> Option<Option<String>> {
    match thread {
        ReceiptThread::Unthreaded => Some(None),
        ReceiptThread::Main => Some(Some("main".to_owned())),
        ReceiptThread::Thread(root) => Some(Some(root.to_string())),
        _ => None,
    }
}
