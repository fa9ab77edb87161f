//! Which state of a room a client wants.

use std::collections::BTreeSet;

use blaupause_data::Event;
use ruma::{OwnedUserId, events::StateEventType};

/// All wishes for one room: those of every list it is in, and of its subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RoomConfig {
    pub timeline_limit: u64,
    /// (event type or `*`, state key or `*`, `$ME`, `$LAZY`).
    pub required: BTreeSet<(String, String)>,
}

impl RoomConfig {
    pub(crate) fn add(&mut self, required: &[(StateEventType, String)], timeline_limit: u64) {
        self.timeline_limit = self.timeline_limit.max(timeline_limit);
        self.required.extend(required.iter().map(|(kind, key)| (kind.to_string(), key.clone())));
    }

    /// Members are told as they speak.
    pub(crate) fn is_lazy(&self) -> bool {
        self.required.iter().any(|(kind, key)| kind == "m.room.member" && key == "$LAZY")
    }

    /// Whether an event of the state is wanted (apart from lazily told members).
    pub(crate) fn wants(&self, event: &Event, me: &OwnedUserId) -> bool {
        let Some(state_key) = event.state_key.as_deref() else { return false };
        self.required.iter().any(|(kind, key)| {
            (kind == "*" || *kind == event.kind)
                && match key.as_str() {
                    "*" => true,
                    "$ME" => me == state_key,
                    "$LAZY" => false,
                    key => key == state_key,
                }
        })
    }

    /// Whether only single keys are named, so that they can be looked up.
    pub(crate) fn single_keys(&self, me: &OwnedUserId) -> Option<Vec<(String, String)>> {
        self.required
            .iter()
            .filter(|(_, key)| key != "$LAZY")
            .map(|(kind, key)| match key.as_str() {
                _ if kind == "*" => None,
                "*" => None,
                "$ME" => Some((kind.clone(), me.to_string())),
                _ => Some((kind.clone(), key.clone())),
            })
            .collect()
    }

    /// The wishes that `before` did not have.
    pub(crate) fn beyond(&self, before: &Self) -> Self {
        Self {
            timeline_limit: self.timeline_limit,
            required: self.required.difference(&before.required).cloned().collect(),
        }
    }
}
