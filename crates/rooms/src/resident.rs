//! This server is in a room and lets others in: what it answers when another server asks on
//! behalf of its people (server-server API, "Joining Rooms", "Knocking", "Leaving Rooms").
//!
//! Each handshake has two steps: the other server gets a template of the event, signs what it made
//! of it, and hands it over. The second step trusts nothing of the first.

mod knock;
mod send;
mod template;
mod vouch;

pub use send::JoinedState;

use blaupause_data::rows::RoomServerRow;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomVersionId, ServerName,
    events::StateEventType,
};
use serde_json::value::RawValue;

use crate::{RoomsError, acl::access_list_in, append::Appending};

/// What somebody of another server wants in a room of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Join,
    Knock,
    /// Also to decline an invitation, and to take a knock back.
    Leave,
}

impl Handshake {
    /// The membership that the event gives.
    pub(crate) fn membership(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Knock => "knock",
            Self::Leave => "leave",
        }
    }
}

/// The first step: another server asks for a template.
#[derive(Clone, Debug)]
pub struct TemplateQuery {
    /// Who asks.
    pub origin: OwnedServerName,
    pub room: OwnedRoomId,
    pub user: OwnedUserId,
    /// Room versions that the other server knows; `None` where they are not asked for.
    pub versions: Option<Vec<RoomVersionId>>,
}

/// An event without hash and signature.
#[derive(Clone, Debug)]
pub struct Template {
    pub version: RoomVersionId,
    pub event: Box<RawValue>,
}

/// The second step: another server hands its event over.
#[derive(Clone, Debug)]
pub struct HandedOver {
    /// Who hands over.
    pub origin: OwnedServerName,
    pub room: OwnedRoomId,
    pub event_id: OwnedEventId,
    pub event: Box<RawValue>,
}

impl Appending<'_> {
    /// Refuse servers that have no business here: this server is not in the room (any more), or the
    /// room does not want them.
    pub(crate) async fn must_serve(&mut self, origin: &ServerName) -> Result<(), RoomsError> {
        let data = self.rooms.data();
        let own = data.server_name().to_owned();
        if data.get::<RoomServerRow>(self.part(), &own).await?.is_none() {
            return Err(RoomsError::RoomUnknown);
        }
        self.must_admit(origin).await
    }

    /// Refuse servers that the room's access list keeps out.
    pub(crate) async fn must_admit(&mut self, server: &ServerName) -> Result<(), RoomsError> {
        let name = (StateEventType::RoomServerAcl, String::new());
        self.look_up(std::slice::from_ref(&name)).await?;
        let list = self.state(&name.0, "").map(|pdu| access_list_in(pdu.content().get()));
        if list.is_none_or(|list| list.is_allowed(server)) {
            Ok(())
        } else {
            Err(RoomsError::Forbidden("your server is kept out of this room"))
        }
    }
}
