//! Servers that were in a room and are no more: they may read what they could have read then.

use blaupause_data::{Member, rows::MemberRow};
use ruma::{OwnedEventId, events::room::member::MembershipState};

use super::ServerAccess;
use crate::RoomsError;

/// People who left, and who were banned, among whom somebody of the server is looked for: a
/// stranger must not cost more.
const PEOPLE_MAX: u32 = 1_000;
/// Events of one request.
const EVENTS_MAX: usize = 20;

impl ServerAccess {
    /// Whether somebody of the server was joined right before each of the events.
    pub(super) async fn was_there(&self, events: &[OwnedEventId]) -> Result<bool, RoomsError> {
        if events.is_empty() || events.len() > EVENTS_MAX || !self.had_people().await? {
            return Ok(false);
        }
        let numbers = self.numbers(events).await?;
        let found = self.events(&numbers).await?;
        let roots: Vec<_> = found.iter().map(|event| event.stored.state_before).collect();
        let memberships = self.memberships_at(&roots).await?;
        let was_joined = |root| memberships.get(root) == Some(&MembershipState::Join);
        Ok(found.len() == events.len() && roots.iter().all(was_joined))
    }

    /// Whether somebody of the server was in the room, as far as a short look tells.
    async fn had_people(&self) -> Result<bool, RoomsError> {
        for gone in [Member::Leave, Member::Ban] {
            let data = self.rooms.data();
            let rows = data.list::<MemberRow>(self.part, &(gone as u8), PEOPLE_MAX).await?.rows;
            if rows.iter().any(|(_, row)| row.value.user_id.server_name() == self.server) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
