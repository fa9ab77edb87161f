//! Declining an invitation, and taking a knock back, where this server is not in the room.
//!
//! Here it always works at once, even if the other server is gone for good. It is told as far as
//! it can be (`farewell.rs`).

use std::time::Duration;

use blaupause_data::{Member, Write};
use ruma::{RoomId, UserId};
use serde_json::{Map, json};

use super::outside::NewOutside;
use crate::{ChangeMembership, Rooms, RoomsError};

/// How long somebody waits until the other server knows.
const TELL_TIME: Duration = Duration::from_secs(8);

impl Rooms {
    pub(super) async fn decline(&self, change: &ChangeMembership) -> Result<(), RoomsError> {
        let (user, room) = (&change.target, &change.room);
        let row = self.data().membership(user, room).await?.filter(|row| row.room_id == *room);
        match row.map(|row| row.value.membership) {
            Some(Member::Leave) => return Ok(()),
            Some(Member::Ban) => {
                return Err(RoomsError::Forbidden("you are banned from this room"));
            }
            Some(Member::Invite | Member::Knock | Member::Join) => {}
            None if self.head(room).await?.is_none() => return Err(RoomsError::RoomUnknown),
            None => return Err(RoomsError::NotJoined),
        }
        let mut content = Map::new();
        content.extend(change.reason.as_ref().map(|reason| ("reason".to_owned(), json!(reason))));
        // Nobody to tell is no reason to stay invited.
        let servers = self.candidates(user, room, &change.via).await.unwrap_or_default();
        let leave = self.new_leave(room, user, &content, servers);
        let told = self.own_leave(room, user, &content).await?;
        self.write_left(room, user, told, |write| leave.owe(write)).await?;
        match tokio::time::timeout(TELL_TIME, self.tell_of_leave(&leave)).await {
            Ok(true) => self.forget_leave(&leave).await?,
            Ok(false) | Err(_) => self.tell_later(),
        }
        Ok(())
    }

    /// The membership has ended, as its owner sees it.
    async fn write_left(
        &self,
        room: &RoomId,
        user: &UserId,
        told: Vec<String>,
        more: impl FnOnce(&mut Write),
    ) -> Result<(), RoomsError> {
        let new = NewOutside {
            room: room.to_owned(),
            user: user.to_owned(),
            membership: Member::Leave,
            sender: user.to_owned(),
            stripped: told,
            from: None,
            told: None,
        };
        let is_something = |now| !matches!(now, None | Some(Member::Leave | Member::Ban));
        self.write_outside_with(new, is_something, more).await
    }
}
