//! The state that somebody gets who joins and does without the members (`omit_members`).

use std::collections::BTreeSet;

use blaupause_data::{Event, Member, rows::MemberRow};
use blaupause_graph::EventNo;
use ruma::OwnedEventId;

use super::{ServerAccess, StateAt, state::pdus};
use crate::RoomsError;

/// Members whom a room without a name is called after (client-server API, `m.heroes`).
const HEROES_MAX: usize = 5;

impl ServerAccess {
    /// The room's state before a join without its members, but for those after whom the room is
    /// called; and what these events and the join rest on.
    ///
    /// # Errors
    /// As [`ServerAccess::state_at`].
    pub async fn state_without_members_at(&self, id: &OwnedEventId) -> Result<StateAt, RoomsError> {
        let join = self.event_with_state(id).await?;
        let root = join.stored.state_before;
        let mut state = self.rooms.state_without_members(self.part, root).await?;
        if !state.iter().any(|event| names_the_room(event)) {
            let heroes = self.heroes(&join).await?;
            state.extend(self.rooms.member_events_at(self.part, root, &heroes).await?);
        }
        let in_state: BTreeSet<EventNo> = state.iter().map(|event| event.no).collect();
        let all: Vec<EventNo> = in_state.iter().chain(&join.stored.auth).copied().collect();
        let mut chain: BTreeSet<EventNo> = self.auth_chain(&all).await?.into_iter().collect();
        chain.extend(&join.stored.auth);
        let chain: Vec<EventNo> = chain.difference(&in_state).copied().collect();
        let auth_chain = self.all_events(&chain).await?;
        Ok(StateAt { state: pdus(&state)?, auth_chain: pdus(&auth_chain)? })
    }

    async fn heroes(&self, join: &Event) -> Result<Vec<String>, RoomsError> {
        let data = self.rooms.data();
        let mut heroes = Vec::new();
        for member in [Member::Join, Member::Invite] {
            // One of them may be who just came.
            let limit = HEROES_MAX as u32 + 1;
            let rows = data.list::<MemberRow>(self.part, &(member as u8), limit).await?.rows;
            heroes.extend(rows.into_iter().map(|(_, row)| row.value.user_id.to_string()));
        }
        heroes.retain(|user| join.state_key.as_deref() != Some(user));
        heroes.truncate(HEROES_MAX);
        Ok(heroes)
    }
}

fn names_the_room(event: &Event) -> bool {
    event.state_key.as_deref() == Some("")
        && matches!(event.kind.as_str(), "m.room.name" | "m.room.canonical_alias")
}
