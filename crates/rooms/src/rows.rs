//! Rows that only this domain writes. Rows of rooms that others read lie in `data`.

use blaupause_data::{Part, Place, StreamPos, row};
use blaupause_graph::EventNo;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

row! {
    /// The event that a transaction made: a second request with the same id gets the same event.
    /// The key is [`blaupause_data::Parts::hash16`] over user, device and transaction.
    pub TxnRow: Idx b'x' Plain, [u8; 16] => OwnedEventId
}

row! {
    /// Which device sent an event under which transaction id: its own sync says so.
    pub EventTxnRow: Idx b'T' Plain, EventNo => EventTxn
}

/// See [`EventTxnRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTxn {
    /// Empty for a sender without a device.
    pub device: String,
    pub txn: String,
}

row! {
    /// Replies in threads, so that the threads of a room are found without looking at everything
    /// that was said in it.
    pub ThreadReplyRow: Seq b'h' Plain, Place => ThreadReply
}

/// See [`ThreadReplyRow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadReply {
    /// The reply.
    pub no: EventNo,
    /// The event that the thread began with.
    pub root: EventNo,
}

row! {
    /// Where a room alias leads; the partition is [`blaupause_data::Parts::alias`].
    pub AliasRow: Idx b'a' Plain, String => Alias
}

/// See [`AliasRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    pub room_id: OwnedRoomId,
    /// Who made it, and so may delete it.
    pub creator: OwnedUserId,
}

row! {
    /// The room's aliases on this server.
    pub RoomAliasRow: Idx b'A' Plain, String => ()
}

row! {
    /// Rooms in the room directory; the partition is [`blaupause_data::DIRECTORY`].
    pub PublishedRow: Idx b'r' Plain, OwnedRoomId => Published
}

/// See [`PublishedRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    pub by: OwnedUserId,
}

row! {
    /// Every room on this server; the partition is [`blaupause_data::DIRECTORY`].
    pub RoomListRow: Idx b'R' Plain, OwnedRoomId => Created
}

/// See [`RoomListRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    pub by: OwnedUserId,
    /// Milliseconds since the Unix epoch.
    pub at: u64,
}

row! {
    /// What people reported; the partition is [`blaupause_data::DIRECTORY`].
    pub ReportRow: Seq b'e' Plain, StreamPos => StoredReport
}

/// A complaint about an event, a room or a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReport {
    pub reporter: OwnedUserId,
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    pub room: Option<OwnedRoomId>,
    pub event: Option<OwnedEventId>,
    pub user: Option<OwnedUserId>,
    pub reason: Option<String>,
    pub score: Option<i64>,
}

row! {
    /// How far somebody has read, by user, kind and thread (empty: outside of threads).
    pub ReceiptRow: Usr b'R' VersionedStamped, (Part, u8, String) => Receipt
}

row! {
    /// Receipts in the order in which they moved: position, kind. A receipt has one such row.
    pub ReceiptLogRow: Seq b's' Plain, (StreamPos, u8) => Receipt
}

/// See [`ReceiptRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub user_id: OwnedUserId,
    pub kind: ReceiptKind,
    pub event_id: OwnedEventId,
    /// Where the event stands.
    pub place: Place,
    /// `None`: for the whole room; `main`, or the event id of a thread's root.
    pub thread: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub ts: u64,
}

/// Who sees a receipt. The number is part of keys.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReceiptKind {
    /// `m.read`: everybody in the room.
    Read = 1,
    /// `m.read.private`: only its owner.
    Private = 2,
}
