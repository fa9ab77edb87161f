//! Room aliases across servers: each server knows its own.

use blaupause_federation::FederationError;
use ruma::{
    OwnedRoomAliasId, RoomAliasId, RoomId,
    api::federation::query::get_room_information::v1::Request,
};

use super::step_limits;
use crate::{ResolvedAlias, Rooms, RoomsError};

/// Servers that go with an alias, given and taken.
pub(crate) const ALIAS_SERVERS_MAX: usize = 50;

/// Aliases of other servers that are asked for in one request.
const ASKED_ALIASES_MAX: usize = 10;

impl Rooms {
    /// Where another server's alias leads, as that server says.
    pub(crate) async fn resolve_elsewhere(
        &self,
        alias: &RoomAliasId,
    ) -> Result<ResolvedAlias, RoomsError> {
        let (server, nowhere) = (alias.server_name(), RoomsError::NotFound("room alias"));
        let request = Request::new(alias.to_owned());
        let answer = match self.federation().call_within(server, request, step_limits()).await {
            Ok(answer) => answer,
            Err(FederationError::Off | FederationError::Remote { status: 404, .. }) => {
                return Err(nowhere);
            }
            Err(error) => return Err(error.into()),
        };
        let mut servers = answer.servers;
        servers.truncate(ALIAS_SERVERS_MAX);
        if !servers.iter().any(|known| known == server) {
            servers.push(server.to_owned());
        }
        Ok(ResolvedAlias { room_id: answer.room_id, servers })
    }

    /// Aliases of other servers that a room is to be known by must lead to it.
    ///
    /// # Errors
    /// [`RoomsError::BadAlias`] by the first that does not, or of which it cannot be told.
    pub(crate) async fn check_elsewhere(
        &self,
        aliases: &[&OwnedRoomAliasId],
        room: &RoomId,
    ) -> Result<(), RoomsError> {
        if aliases.len() > ASKED_ALIASES_MAX {
            return Err(RoomsError::TooMany {
                what: "new aliases of other servers",
                max: ASKED_ALIASES_MAX,
            });
        }
        for alias in aliases {
            match self.resolve_elsewhere(alias).await {
                Ok(found) if found.room_id == room => {}
                Err(RoomsError::Data(error)) => return Err(error.into()),
                _ => {
                    let why = format!("{alias} does not lead to this room");
                    return Err(RoomsError::BadAlias(why));
                }
            }
        }
        Ok(())
    }

    /// Where an alias of this server leads, for another server.
    ///
    /// # Errors
    /// [`RoomsError::NotFound`] if nowhere, or if it is not ours.
    pub async fn alias_for_server(&self, alias: &RoomAliasId) -> Result<ResolvedAlias, RoomsError> {
        if alias.server_name() != self.data().server_name() {
            return Err(RoomsError::NotFound("room alias"));
        }
        self.resolve_alias(alias).await
    }
}
