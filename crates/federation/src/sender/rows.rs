//! What is stored for sending. Rows of a server lie in its partition, except the directory of all
//! servers that were ever owed something.

use blaupause_data::{Part, Place, StreamPos, row};
use blaupause_graph::EventNo;
use ruma::{OwnedRoomId, OwnedServerName};
use serde::{Deserialize, Serialize};

row! {
    /// What a server is owed of a room, by the room's partition.
    pub OwedRow: Box b'q' Versioned, Part => Owed
}

/// Events of a room that a server has not taken yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// Compared on load: two names could have one partition.
    pub room_id: OwnedRoomId,
    /// Oldest first; see [`super::queue`] for how many.
    pub events: Vec<OwedEvent>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwedEvent {
    /// Orders the events of all rooms.
    pub place: Place,
    pub no: EventNo,
}

row! {
    /// What is owed and lies in no room: position, index.
    pub OutEduRow: Box b'e' Plain, (StreamPos, u16) => OutEdu
}

/// An EDU that must arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutEdu {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub json: String,
}

row! {
    /// A server that does not take what it is owed; absent if it does.
    pub DestinationRow: Meta b'd' Plain, () => Destination
}

/// How long it has not, and when it is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    pub server_name: OwnedServerName,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// Milliseconds since the Unix epoch, as the next.
    pub failing_since_ms: u64,
    pub next_try_ms: u64,
}

row! {
    /// Servers that were ever owed something, so that a start finds those with debts.
    pub DebtorRow: Idx b'd' Plain, String => ()
}
