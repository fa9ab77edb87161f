//! Through which servers a room can be reached, and what is said when none of them helps.

use blaupause_federation::FederationError;
use ruma::{OwnedServerName, RoomId, ServerName, UserId};

use crate::{Rooms, RoomsError};

/// Servers that are asked one after the other, at most.
const CANDIDATES_MAX: usize = 10;

impl Rooms {
    /// Servers that may be in the room, the most promising first: those that the person names and
    /// the one that invited them; those that are in the room, if this one is. Only where there are
    /// none, those that the room is named after and that were in it when we last were: who names
    /// servers wants these. Only servers that ours may deal with.
    ///
    /// # Errors
    /// [`RoomsError::RoomUnknown`] if there is none; [`RoomsError::Federation`] if there are only
    /// such that we may not deal with.
    pub(super) async fn candidates(
        &self,
        user: &UserId,
        room: &RoomId,
        named: &[OwnedServerName],
    ) -> Result<Vec<OwnedServerName>, RoomsError> {
        let own = self.data().server_name();
        let there = self.data().servers_in(room).await?;
        let is_here = there.iter().any(|server| server == own);
        let mut servers: Vec<_> = named.iter().filter(|server| *server != own).cloned().collect();
        if let Some(outside) = self.outside(user, room).await? {
            servers.extend(outside.via);
        }
        let names_none = servers.is_empty();
        if names_none {
            servers.extend(room.server_name().map(ToOwned::to_owned));
        }
        if names_none || is_here {
            servers.extend(there.into_iter().take(CANDIDATES_MAX));
        }
        self.permitted(servers)
    }

    /// The servers of a list that may be asked, each once.
    pub(super) fn permitted(
        &self,
        servers: Vec<OwnedServerName>,
    ) -> Result<Vec<OwnedServerName>, RoomsError> {
        let own = self.data().server_name();
        let (mut kept, mut denied): (Vec<OwnedServerName>, _) = (Vec::new(), None);
        for server in servers {
            if server == own || kept.contains(&server) || kept.len() == CANDIDATES_MAX {
                continue;
            }
            match self.federation().permits(&server) {
                Ok(()) => kept.push(server),
                Err(error) => denied = denied.or(Some(error)),
            }
        }
        match denied {
            // Without federation there are no other servers' rooms.
            Some(FederationError::Off) => Err(RoomsError::RoomUnknown),
            Some(error) if kept.is_empty() => Err(error.into()),
            _ if kept.is_empty() => Err(RoomsError::RoomUnknown),
            _ => Ok(kept),
        }
    }
}

/// What the servers asked so far said.
#[derive(Default)]
pub(super) struct Tries(Option<RoomsError>);

impl Tries {
    /// A server was of no use. Some answers no other server would give differently.
    pub(super) fn failed(
        &mut self,
        server: &ServerName,
        error: RoomsError,
    ) -> Result<(), RoomsError> {
        tracing::debug!(%server, %error, "a server was of no use");
        match error {
            RoomsError::UnsupportedVersion(_) | RoomsError::MixedRoom(_) | RoomsError::Data(_) => {
                return Err(error);
            }
            // A refusal says more than silence.
            _ if self.0.is_none() || is_refusal(&error) => self.0 = Some(error),
            _ => {}
        }
        Ok(())
    }

    /// What to say when no server is left.
    pub(super) fn end(self) -> RoomsError {
        self.0.unwrap_or(RoomsError::RoomUnknown)
    }
}

fn is_refusal(error: &RoomsError) -> bool {
    let RoomsError::Federation(FederationError::Remote { status, .. }) = error else {
        return false;
    };
    matches!(status, 400 | 403)
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    fn refused(status: u16) -> RoomsError {
        let (errcode, message) = ("M_FORBIDDEN".to_owned(), String::new());
        FederationError::Remote { status, errcode, message }.into()
    }

    #[test]
    fn a_refusal_says_more_than_silence() {
        let mut tries = Tries::default();
        for error in [FederationError::TimedOut.into(), refused(403), refused(404), refused(500)] {
            assert!(tries.failed(server_name!("a.example"), error).is_ok());
        }
        let end = tries.end();
        let RoomsError::Federation(FederationError::Remote { status, .. }) = end else {
            panic!("{end}")
        };
        assert_eq!(status, 403);
    }

    #[test]
    fn a_room_of_an_unknown_version_is_given_up_at_once() {
        let error = RoomsError::UnsupportedVersion(ruma::RoomVersionId::V1);
        assert!(Tries::default().failed(server_name!("a.example"), error).is_err());
    }
}
