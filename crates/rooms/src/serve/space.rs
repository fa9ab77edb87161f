//! `GET /hierarchy` of other servers: a space and the rooms in it that somebody of theirs may know.

use std::collections::HashSet;

use ruma::{
    OwnedRoomId, RoomId, ServerName,
    room::{JoinRuleSummary, RoomSummary, RoomType},
};
use serde_json::value::RawValue;

use crate::{Rooms, RoomsError};

/// Children of a space that one answer tells of; the others are not told.
const CHILDREN_MAX: usize = 100;

/// A space, one level deep, as another server may know of it.
#[derive(Debug)]
pub struct SpaceForServer {
    pub space: RoomSummary,
    /// Its `m.space.child` events as stripped state.
    pub links: Vec<Box<RawValue>>,
    pub children: Vec<RoomSummary>,
    /// Rooms that are known here, and not for that server to know of.
    pub inaccessible: Vec<OwnedRoomId>,
}

impl Rooms {
    /// A space and its rooms for another server.
    ///
    /// # Errors
    /// [`RoomsError::NotFound`] if there is no such room, or none that the server may know of.
    pub async fn space_for_server(
        &self,
        server: &ServerName,
        space: &RoomId,
        suggested_only: bool,
    ) -> Result<SpaceForServer, RoomsError> {
        let found = self.summaries(&[space.to_owned()]).await?.pop().flatten();
        let unknown = RoomsError::NotFound("room");
        let Some(summary) = found else { return Err(unknown) };
        if !self.server_may_know(server, &summary).await? {
            return Err(unknown);
        }
        let (mut links, mut rooms) = (Vec::new(), Vec::new());
        if summary.room_type == Some(RoomType::Space) {
            let children = self.children(std::slice::from_ref(&summary.room_id), suggested_only);
            for child in children.await?.remove(&summary.room_id).unwrap_or_default() {
                rooms.push(child.room);
                links.push(child.json);
            }
        }
        rooms.truncate(CHILDREN_MAX);
        let (mut children, mut inaccessible) = (Vec::new(), Vec::new());
        for child in self.summaries(&rooms).await?.into_iter().flatten() {
            if self.server_may_know(server, &child).await? {
                children.push(child);
            } else {
                inaccessible.push(child.room_id);
            }
        }
        Ok(SpaceForServer { space: summary, links, children, inaccessible })
    }

    /// Whether a server may know of a room: somebody of theirs is in it, or could enter or read it
    /// without being invited (server-server API, `GET /hierarchy/{roomId}`).
    async fn server_may_know(
        &self,
        server: &ServerName,
        room: &RoomSummary,
    ) -> Result<bool, RoomsError> {
        let open = match &room.join_rule {
            JoinRuleSummary::Public
            | JoinRuleSummary::Knock
            | JoinRuleSummary::KnockRestricted(_) => true,
            JoinRuleSummary::Restricted(restricted) => {
                let allowed: HashSet<_> = restricted.allowed_room_ids.iter().collect();
                let mut is_in_one = false;
                for room in allowed {
                    is_in_one |= self.is_server_in(room, server).await?;
                }
                is_in_one
            }
            _ => false,
        };
        Ok(open || room.world_readable || self.is_server_in(&room.room_id, server).await?)
    }

    async fn is_server_in(&self, room: &RoomId, server: &ServerName) -> Result<bool, RoomsError> {
        Ok(self.data().servers_in(room).await?.iter().any(|there| there == server))
    }
}
