//! Messages are kept for a time, and then no more (MSC1763).
//!
//! How long says the room, within what the operator allows. A message whose time is over loses its
//! content as with a redaction, and is no longer shown. The event itself stays, because others
//! point at it; state stays as it is.

mod expire;
mod page;

use std::{sync::Arc, time::Duration};

use blaupause_data::Event;
use ruma::{RoomId, events::StateEventType};
use serde::Deserialize;

use crate::{Rooms, RoomsError, hot::StateName};

/// Under which types a room says how long it keeps messages. The proposal's name goes first, as
/// for clients.
const KINDS: [&str; 2] = ["org.matrix.msc1763.retention", "m.room.retention"];

/// How long messages are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Where the room does not say it, in milliseconds; `None`: for ever.
    pub default_ms: Option<u64>,
    /// What a room can choose, in milliseconds.
    pub min_ms: u64,
    /// `None`: as long as it wants.
    pub max_ms: Option<u64>,
    /// Between two looks for messages whose time is over.
    pub pause: Duration,
}

impl Retention {
    /// How long a room's messages are kept, in milliseconds; `None`: for ever.
    fn lifetime(&self, room_says: Option<u64>) -> Option<u64> {
        let Some(wanted) = room_says else { return self.default_ms };
        let wanted = wanted.max(self.min_ms);
        Some(self.max_ms.map_or(wanted, |max| wanted.min(max)))
    }
}

/// What the state event says; `None` if it says nothing, or nothing that can be.
fn said(event: &Event) -> Option<u64> {
    #[derive(Deserialize)]
    struct Content {
        max_lifetime: u64,
    }
    event.content_as::<Content>().map(|content| content.max_lifetime)
}

impl Rooms {
    /// How long messages of a room are kept, in milliseconds; `None`: for ever.
    async fn lifetime_in(
        &self,
        retention: &Retention,
        room: &RoomId,
    ) -> Result<Option<u64>, RoomsError> {
        let names: [StateName; 2] = KINDS.map(|kind| (StateEventType::from(kind), String::new()));
        let events: Vec<Option<Arc<Event>>> = self.current_state(room, &names).await?;
        let room_says = events.iter().flatten().find_map(|event| said(event));
        Ok(retention.lifetime(room_says))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_chooses_within_what_is_allowed() {
        let mut retention = Retention {
            default_ms: Some(50),
            min_ms: 10,
            max_ms: Some(100),
            pause: Duration::from_secs(60),
        };
        assert_eq!(retention.lifetime(None), Some(50));
        assert_eq!(retention.lifetime(Some(20)), Some(20));
        assert_eq!(retention.lifetime(Some(0)), Some(10));
        assert_eq!(retention.lifetime(Some(u64::MAX)), Some(100));
        (retention.default_ms, retention.max_ms) = (None, None);
        assert_eq!(retention.lifetime(None), None);
        assert_eq!(retention.lifetime(Some(u64::MAX)), Some(u64::MAX));
    }
}
