//! What of some events a server may read: all of it, or the event without its content.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use blaupause_data::{Event, rows::MemberRow};
use blaupause_graph::{EventNo, Sight, StateRoot, redact, visible};
use ruma::events::room::{history_visibility::HistoryVisibility, member::MembershipState};
use serde_json::value::RawValue;

use super::{ServerAccess, as_pdu};
use crate::{
    RoomsError,
    read::{membership_in, visibility_in},
};

const MEMBER: &str = "m.room.member";
const VISIBILITY: &str = "m.room.history_visibility";

/// Members of one room, of any membership, that are looked at to find those of a server.
const MEMBERS_MAX: u32 = 1_000_000;
/// People of one server whose membership at an event is looked at.
const PEOPLE_MAX: usize = 1_000;

impl ServerAccess {
    /// Events as the server may read them, in the same order. What was said while the room's
    /// history was closed to it comes as if it were redacted.
    pub(super) async fn shown(
        &self,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Box<RawValue>>, RoomsError> {
        let sights = self.sights(&events).await?;
        events
            .iter()
            .map(|event| {
                if self.sees(event, &sights) {
                    return as_pdu(event);
                }
                let json = redact(&event.stored.pdu, &self.rules)?;
                RawValue::from_string(json).map_err(|_| RoomsError::EventUnknown)
            })
            .collect()
    }

    fn sees(&self, event: &Event, sights: &HashMap<StateRoot, Sight>) -> bool {
        // State is what a room's rules rest on, and every server in it has it.
        if event.state_key.is_some() {
            return true;
        }
        let before = sights.get(&event.stored.state_before);
        // The server is in the room, or was behind this event: it was joined later.
        before.is_some_and(|before| visible(before, None, true))
    }

    /// The server's best membership and the room's visibility at each state.
    async fn sights(&self, events: &[Arc<Event>]) -> Result<HashMap<StateRoot, Sight>, RoomsError> {
        let messages = events.iter().filter(|event| event.state_key.is_none());
        let roots: BTreeSet<_> = messages.map(|event| event.stored.state_before).collect();
        let roots: Vec<_> = roots.into_iter().collect();
        let visibility = self.visibility_at(&roots).await?;
        let shut = |at: &HistoryVisibility| {
            matches!(at, HistoryVisibility::Joined | HistoryVisibility::Invited)
        };
        let closed: Vec<_> = roots
            .iter()
            .zip(&visibility)
            .filter(|(_, visibility)| shut(visibility))
            .map(|(root, _)| *root)
            .collect();
        let mut memberships = self.memberships_at(&closed).await?;
        let sights = roots.into_iter().zip(visibility).map(|(root, visibility)| {
            let membership = memberships.remove(&root).unwrap_or(MembershipState::Leave);
            (root, Sight { visibility, membership })
        });
        Ok(sights.collect())
    }

    async fn visibility_at(
        &self,
        roots: &[StateRoot],
    ) -> Result<Vec<HistoryVisibility>, RoomsError> {
        let name = (self.part, (VISIBILITY.to_owned(), String::new()));
        let data = self.rooms.data();
        let key = self.rooms.key_numbers().get(data, [name]).await?.pop().flatten();
        let Some(key) = key else { return Ok(vec![HistoryVisibility::Shared; roots.len()]) };
        let found = data.state_get_at(self.part, roots, &[key]).await?;
        let found: Vec<_> = found.into_iter().map(|at| at.first().copied().flatten()).collect();
        let events = self.by_number(found.iter().flatten().copied()).await?;
        let at = |no: &Option<EventNo>| no.and_then(|no| events.get(&no)).map(|event| &**event);
        Ok(found.iter().map(|no| visibility_in(at(no))).collect())
    }

    /// The best membership that anybody of the server had at each state.
    pub(super) async fn memberships_at(
        &self,
        roots: &[StateRoot],
    ) -> Result<HashMap<StateRoot, MembershipState>, RoomsError> {
        if roots.is_empty() {
            return Ok(HashMap::new());
        }
        let data = self.rooms.data();
        let members = data.list_all::<MemberRow>(self.part, &(), MEMBERS_MAX).await?.rows;
        let names = members
            .into_iter()
            .map(|(_, row)| row.value.user_id)
            .filter(|user| user.server_name() == self.server)
            .take(PEOPLE_MAX)
            .map(|user| (self.part, (MEMBER.to_owned(), user.to_string())));
        let keys = self.rooms.key_numbers().get(data, names).await?;
        let keys: Vec<_> = keys.into_iter().flatten().collect();
        let found = data.state_get_at(self.part, roots, &keys).await?;
        let events = self.by_number(found.iter().flatten().flatten().copied()).await?;
        let best = |at: &Vec<Option<EventNo>>| {
            let memberships = at.iter().flatten().filter_map(|no| events.get(no));
            memberships.map(|event| membership_in(Some(event))).max_by_key(rank)
        };
        let roots = roots.iter().zip(&found);
        Ok(roots.filter_map(|(root, at)| Some((*root, best(at)?))).collect())
    }

    async fn by_number(
        &self,
        numbers: impl Iterator<Item = EventNo>,
    ) -> Result<HashMap<EventNo, Arc<Event>>, RoomsError> {
        let numbers: BTreeSet<_> = numbers.collect();
        let numbers: Vec<_> = numbers.into_iter().collect();
        Ok(self.events(&numbers).await?.into_iter().map(|event| (event.no, event)).collect())
    }
}

/// How much a membership opens.
fn rank(membership: &MembershipState) -> u8 {
    match membership {
        MembershipState::Join => 2,
        MembershipState::Invite => 1,
        _ => 0,
    }
}
