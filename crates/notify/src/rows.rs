//! What this crate stores besides account data.

use blaupause_data::{Part, Place, StreamPos, row};
use blaupause_graph::EventNo;
use ruma::{OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId};
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
    /// Whether notifications are sent at all (MSC3881).
    pub enabled: bool,
    /// When it was last set, in milliseconds since the Unix epoch.
    pub set_ms: u64,
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

row! {
    /// How far an application service has been told, by its id; the partition is the node's slot.
    pub ServiceRow: Meta b'A' Plain, String => StoredService
}

/// See [`ServiceRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredService {
    /// When the service was first known, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Of the last transaction.
    pub number: u64,
    /// Everything up to this position of the log is in a transaction or concerns others ...
    pub position: u64,
    /// ... and so are this many changes of the next batch behind it.
    pub done: u32,
    /// Pieces of the last transaction; none: it was taken.
    pub pieces: u32,
}

row! {
    /// The transaction that an application service has not taken yet: its id, index.
    pub ServicePieceRow: Box b'A' Plain, (String, u32) => String
}

row! {
    /// What a user was notified of, by the place of the event.
    pub NotificationRow: Seq b'n' Plain, Place => StoredNotification
}

/// See [`NotificationRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredNotification {
    pub room_id: OwnedRoomId,
    pub no: EventNo,
    /// When it was noted, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub highlight: bool,
    /// What the rule says to do, as JSON.
    pub actions: String,
}

row! {
    /// Who was notified on which day (since the Unix epoch): so that what is old is found. The
    /// partition is [`blaupause_data::DIRECTORY`].
    pub NotifiedRow: Seq b'N' Plain, (u64, Part) => OwnedUserId
}

row! {
    /// Users whose pushers have something to do. The version is the position of what they were
    /// last told to do. The partition is [`blaupause_data::DIRECTORY`].
    pub PushDebtRow: Idx b'p' Versioned, Part => OwnedUserId
}

row! {
    /// Every pusher: hash of app id and push key, user. The partition is
    /// [`blaupause_data::DIRECTORY`].
    pub PusherIndexRow: Idx b'q' Plain, ([u8; 16], Part) => OwnedUserId
}

row! {
    /// How far a pusher has come: app id, push key.
    pub PushStateRow: Usr b'q' Plain, (String, String) => PushState
}

/// See [`PushStateRow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushState {
    /// The last notification that was delivered or is not worth it any more.
    pub upto: Place,
    /// The number that the gateway was last told; `None`: none yet.
    pub badge: Option<u64>,
}
