//! What this crate stores besides account data.

use blaupause_data::{Part, StreamPos, row};
use ruma::{OwnedDeviceId, OwnedEventId, OwnedRoomId};
use serde::{Deserialize, Serialize};

row! {
    /// Pushers of a user: app id, push key.
    pub PusherRow: Usr b'P' Plain, (String, String) => StoredPusher
}

/// A pusher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPusher {
    /// The device that set it: a pusher ends with its device. `None`: set by an application
    /// service, which acts without one.
    pub device: Option<OwnedDeviceId>,
    /// As the specification shows it.
    pub json: String,
}

row! {
    /// Threads that a user subscribed to or unsubscribed from: room, root.
    pub ThreadSubscriptionRow: Usr b'T' VersionedStamped, (Part, String) => StoredSubscription
}

row! {
    /// The same in the order in which they changed. A subscription has one such row.
    pub ThreadSubscriptionLogRow: Seq b'u' Plain, StreamPos => StoredSubscription
}

/// What a user wants of a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSubscription {
    /// The full name, compared on every load: two names could have one partition.
    pub room_id: OwnedRoomId,
    pub root: OwnedEventId,
    pub state: Subscribed,
}

/// Whether somebody subscribed, and who decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subscribed {
    /// By the person.
    Manually,
    /// By a client, because its user wrote or was mentioned in the thread.
    Automatically,
    /// Not any more.
    Not,
}

impl Subscribed {
    /// As the specification shows it; `None`: not subscribed.
    pub fn automatic(self) -> Option<bool> {
        match self {
            Self::Manually => Some(false),
            Self::Automatically => Some(true),
            Self::Not => None,
        }
    }
}
