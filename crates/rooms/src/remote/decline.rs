//! Declining an invitation, and taking a knock back, where this server is not in the room.
//!
//! Here it always works at once, even if the other server is gone for good. It is told as far as
//! it can be.

use std::time::Duration;

use blaupause_data::{Found, Member, rows::UserRoom};
use ruma::{
    OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId,
    api::federation::membership::create_leave_event::v2::Request,
};
use serde_json::{Map, Value, json};

use super::{handshake::Wish, outside::NewOutside, step_limits};
use crate::{ChangeMembership, Handshake, Rooms, RoomsError};

/// How long somebody waits until the other server knows.
const TELL_TIME: Duration = Duration::from_secs(8);
/// When the other server is told again, if it could not be reached.
const RETRIES: [Duration; 4] = [
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(6 * 60 * 60),
];

/// A leave of which others have to be told.
#[derive(Clone)]
struct Leave {
    room: OwnedRoomId,
    user: OwnedUserId,
    content: Map<String, Value>,
    servers: Vec<OwnedServerName>,
}

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
        let leave = Leave { room: room.clone(), user: user.clone(), content, servers };
        let told = tokio::time::timeout(TELL_TIME, self.tell_of_leave(&leave)).await;
        self.write_left(room, user, user).await?;
        if !told.unwrap_or(false) {
            self.tell_later(leave);
        }
        Ok(())
    }

    /// The membership has ended, as its owner sees it.
    pub(super) async fn write_left(
        &self,
        room: &RoomId,
        user: &UserId,
        sender: &UserId,
    ) -> Result<(), RoomsError> {
        let new = NewOutside {
            room: room.to_owned(),
            user: user.to_owned(),
            membership: Member::Leave,
            sender: sender.to_owned(),
            stripped: Vec::new(),
            from: None,
            told: None,
        };
        self.write_outside(new, |now| !matches!(now, None | Some(Member::Leave | Member::Ban)))
            .await
    }

    /// A join that was sent and cannot be completed here is taken back.
    pub(super) fn take_back(&self, server: &ServerName, wish: &Wish<'_>) {
        self.tell_later(Leave {
            room: wish.room.clone(),
            user: wish.user.clone(),
            content: Map::new(),
            servers: vec![server.to_owned()],
        });
    }

    /// Tell the first server that listens; whether one did.
    async fn tell_of_leave(&self, leave: &Leave) -> bool {
        let Leave { room, user, content, servers } = leave;
        let wish = Wish { kind: Handshake::Leave, room, user, content };
        for server in servers {
            match self.tell_one(server, &wish).await {
                Ok(()) => return true,
                Err(error) => tracing::debug!(%server, %error, "a leave was not taken"),
            }
        }
        servers.is_empty()
    }

    async fn tell_one(&self, server: &ServerName, wish: &Wish<'_>) -> Result<(), RoomsError> {
        let prepared = self.prepare(server, wish).await?;
        let id = prepared.pdu.event_id().to_owned();
        let request = Request::new(wish.room.clone(), id, prepared.pdu.to_raw());
        self.federation().call_within(server, request, step_limits()).await?;
        Ok(())
    }

    /// Try again some times. A restart ends it: the other server then believes that the invitation
    /// still stands, which does no harm here.
    fn tell_later(&self, leave: Leave) {
        let rooms = self.clone();
        self.data().env().spawn(async move {
            let stop = rooms.data().env().stop().clone();
            for pause in RETRIES {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                // They may be invited again, or in the room, meanwhile.
                let now = rooms.data().membership(&leave.user, &leave.room).await;
                let is_out = |row: &Option<Found<UserRoom>>| {
                    row.as_ref().is_none_or(|row| row.membership == Member::Leave)
                };
                if !now.is_ok_and(|now| is_out(&now)) {
                    return;
                }
                if rooms.tell_of_leave(&leave).await {
                    return;
                }
            }
        });
    }
}
