//! State that goes with a timeline part.

use std::{collections::HashSet, sync::Arc};

use blaupause_data::{Data, DataError, Event, Part};
use blaupause_graph::{EventNo, StateRoot};
use ruma::{OwnedUserId, api::client::filter::RoomEventFilter};

use crate::filter;

/// From which state to which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delta {
    pub room: Part,
    /// `None`: everything.
    pub from: Option<StateRoot>,
    pub to: StateRoot,
}

/// The state events that make the difference, for many rooms, in the order asked.
///
/// State that was removed (possible only when branches merge) is not told: clients have no way to
/// be told (spec: client-server API, "Syncing").
pub(crate) async fn load(data: &Data, deltas: &[Delta]) -> Result<Vec<Vec<Arc<Event>>>, DataError> {
    let whole: Vec<_> = deltas
        .iter()
        .map(|delta| (delta.room, delta.from.unwrap_or(StateRoot::EMPTY), delta.to))
        .collect();
    let diffs = data.state_diff(&whole).await?;
    let numbers: Vec<(Part, EventNo)> = deltas
        .iter()
        .zip(&diffs)
        .flat_map(|(delta, diff)| {
            diff.iter().filter_map(|change| Some((delta.room, change.after?)))
        })
        .collect();
    let mut events = data.events(&numbers).await?.into_iter();
    Ok(diffs
        .iter()
        .map(|diff| {
            let count = diff.iter().filter(|change| change.after.is_some()).count();
            events.by_ref().take(count).flatten().collect()
        })
        .collect())
}

/// Keep what passes the filter; with lazy loading keep only the members named in `members`.
pub(crate) fn select(
    events: Vec<Arc<Event>>,
    filter: &RoomEventFilter,
    members: Option<&HashSet<OwnedUserId>>,
) -> Vec<Arc<Event>> {
    events
        .into_iter()
        .filter(|event| filter::event_passes(filter, event))
        .filter(|event| match members {
            Some(members) if event.kind == "m.room.member" => event
                .state_key
                .as_deref()
                .is_some_and(|key| members.iter().any(|user| user.as_str() == key)),
            _ => true,
        })
        .collect()
}

/// The member events of some users at a state.
pub(crate) async fn members(
    data: &Data,
    room: Part,
    at: StateRoot,
    users: &[OwnedUserId],
) -> Result<Vec<Arc<Event>>, DataError> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<_> =
        users.iter().map(|user| ("m.room.member".to_owned(), user.to_string())).collect();
    let numbers = data.state_lookup(room, at, &keys).await?;
    let numbers: Vec<_> = numbers.into_iter().flatten().map(|no| (room, no)).collect();
    Ok(data.events(&numbers).await?.into_iter().flatten().collect())
}
