//! What other servers may read of a room (server-server API, "Retrieving events", "Backfilling and
//! retrieving missing events").
//!
//! A server may read a room while one of its users is joined to it. Events from when the room's
//! history was closed to it come without their content: the graph stays whole, nothing is told.

mod auth_chain;
mod backfill;
mod event;
mod former;
mod missing;
mod moment;
mod sight;
mod space;
mod state;
mod thin;

use std::sync::Arc;

use blaupause_data::{
    Event, Part, ReadSet,
    rows::{EventNoRow, HeadRow, RoomHead, RoomServerRow},
};
use blaupause_graph::{EventNo, rules_of};
use ruma::{
    OwnedEventId, OwnedServerName, RoomId, ServerName, room_version_rules::RoomVersionRules,
};
use serde_json::value::RawValue;

pub(crate) use backfill::depth_of;
pub use missing::Gap;
pub use space::SpaceForServer;
pub use state::{StateAt, StateIdsAt};

use crate::{Rooms, RoomsError};

/// A server that may read a room. Only [`Rooms::server_access`] makes one.
pub struct ServerAccess {
    rooms: Rooms,
    server: OwnedServerName,
    part: Part,
    head: RoomHead,
    rules: RoomVersionRules,
}

impl std::fmt::Debug for ServerAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let room = &self.head.room_id;
        f.debug_struct("ServerAccess").field("server", &self.server).field("room", room).finish()
    }
}

impl Rooms {
    /// Whether a server may read a room: somebody of it is joined now, and the room's access
    /// control list lets it in.
    ///
    /// # Errors
    /// [`RoomsError::RoomUnknown`], [`RoomsError::Forbidden`].
    pub async fn server_access(
        &self,
        server: &ServerName,
        room: &RoomId,
    ) -> Result<ServerAccess, RoomsError> {
        match self.opened(server, room).await? {
            (access, true) => Ok(access),
            (_, false) => Err(NOT_IN_ROOM),
        }
    }

    /// As [`Rooms::server_access`], for what lies before some events; also if the server is in the
    /// room no more, but was when each of them happened. Who was thrown out learns of it only by
    /// what the event that says so rests on.
    ///
    /// # Errors
    /// As there.
    pub async fn server_access_before(
        &self,
        server: &ServerName,
        room: &RoomId,
        events: &[OwnedEventId],
    ) -> Result<ServerAccess, RoomsError> {
        let (access, is_in) = self.opened(server, room).await?;
        if is_in || access.was_there(events).await? { Ok(access) } else { Err(NOT_IN_ROOM) }
    }

    /// What a server would read, and whether it is in the room.
    async fn opened(
        &self,
        server: &ServerName,
        room: &RoomId,
    ) -> Result<(ServerAccess, bool), RoomsError> {
        let part = self.data().parts().room(room);
        let mut want = ReadSet::new();
        let head = want.get::<HeadRow>(part, &());
        let there = want.get::<RoomServerRow>(part, &server.to_owned());
        let got = want.run(self.data()).await?;
        let head = got.one(head)?.filter(|head| head.room_id == room);
        let head = head.ok_or(RoomsError::RoomUnknown)?.value;
        let is_in = got.one(there)?.is_some();
        if !self.acl_allows(room, server).await? {
            return Err(RoomsError::Forbidden("this room does not admit your server"));
        }
        let rules = rules_of(&head.version).ok_or(RoomsError::RoomUnknown)?;
        let (rooms, server) = (self.clone(), server.to_owned());
        Ok((ServerAccess { rooms, server, part, head, rules }, is_in))
    }
}

const NOT_IN_ROOM: RoomsError = RoomsError::Forbidden("your server is not in this room");

impl ServerAccess {
    /// Numbers of those of the events that are known. One round trip.
    async fn numbers(&self, ids: &[OwnedEventId]) -> Result<Vec<EventNo>, RoomsError> {
        let data = self.rooms.data();
        let hashes: Vec<_> = ids.iter().map(|id| data.parts().hash16(id.as_str())).collect();
        let rows = hashes.iter().map(|hash| (self.part, hash));
        let rows = data.get_many::<EventNoRow>(rows).await?;
        Ok(rows.into_iter().flatten().map(|row| row.value).collect())
    }

    /// Events by number; those that are gone are left out. One round trip.
    async fn events(&self, numbers: &[EventNo]) -> Result<Vec<Arc<Event>>, RoomsError> {
        let wanted: Vec<_> = numbers.iter().map(|no| (self.part, *no)).collect();
        Ok(self.rooms.data().events(&wanted).await?.into_iter().flatten().collect())
    }

    /// One event that the server asks about.
    async fn known_event(&self, id: &OwnedEventId) -> Result<Arc<Event>, RoomsError> {
        let numbers = self.numbers(std::slice::from_ref(id)).await?;
        let event = self.events(&numbers).await?.pop();
        event.filter(|event| event.stored.event_id == *id).ok_or(RoomsError::EventUnknown)
    }
}

/// An event as it travels between servers.
fn as_pdu(event: &Event) -> Result<Box<RawValue>, RoomsError> {
    RawValue::from_string(event.stored.pdu.clone())
        .map_err(|_| blaupause_data::DataError::Damaged("evt/e: PDU".into()).into())
}
