//! Rows that only this domain writes. Rows of rooms that others read lie in `data`.

use blaupause_data::{Part, Place, StreamPos, row};
use blaupause_graph::EventNo;
use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomVersionId};
use serde::{Deserialize, Serialize};

row! {
    /// The event that a transaction made: a second request with the same id gets the same event.
    /// The key is [`blaupause_data::Parts::hash16`] over user, device and transaction.
    pub TxnRow: Idx b'x' Plain, [u8; 16] => OwnedEventId
}

row! {
    /// The index of what was said in a room, in pages of events that follow each other.
    pub SearchPageRow: Seq b'w' Plain, u32 => SearchPage
}

/// See [`SearchPageRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchPage {
    /// The number of the first event that the page does not know yet.
    pub upto: u32,
    /// The words, and in which events they stand: see `search/words.rs`.
    pub text: String,
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
    /// Up to where messages of a room whose time is over have been removed.
    pub ExpiredRow: Meta b'e' Plain, () => Place
}

row! {
    /// A user's room for notices of the server.
    pub NoticeRoomRow: Usr b'N' Plain, () => OwnedRoomId
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
    /// Rooms in directories of application services: service, network, room; the partition is
    /// [`blaupause_data::DIRECTORY`].
    pub NetworkRoomRow: Idx b'N' Plain, (String, String, OwnedRoomId) => ()
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

row! {
    /// Events that wait to be sent (MSC4140), by the id of the delay.
    pub DelayedRow: Usr b'y' Versioned, String => Delayed
}

/// See [`DelayedRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delayed {
    pub room_id: OwnedRoomId,
    /// Event type.
    pub kind: String,
    /// `None`: a message.
    pub state_key: Option<String>,
    pub delay_ms: u64,
    /// When the delay began, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Key of its [`DelayTxnRow`].
    pub txn: Option<[u8; 16]>,
}

row! {
    /// The content of a delayed event, waiting or ended: a JSON object. It is not written again
    /// when the delay begins again.
    pub DelayedContentRow: Usr b'Y' Plain, String => String
}

row! {
    /// How long a delayed event is to be sticky, in milliseconds; none if it is not.
    pub DelayedStickyRow: Usr b'Z' Plain, String => u64
}

row! {
    /// Delayed events that no longer wait, for a while.
    pub DelayedEndRow: Usr b'z' Plain, String => (Delayed, Ending)
}

/// How a delayed event ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub outcome: Outcome,
}

/// See [`Ending`]. Stored: only append variants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Sent(OwnedEventId),
    Cancelled,
    /// The room, or the server, did not take it. The text may be shown.
    Failed {
        reason: DelayFailure,
        text: String,
    },
}

/// Why a delayed event was not taken. Stored: only append variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DelayFailure {
    NotAllowed,
    NotFound,
    BadContent,
    TooLarge,
    Other,
}

row! {
    /// What is to be done when: milliseconds since the Unix epoch, id of the delay. The partition
    /// is [`blaupause_data::DIRECTORY`].
    pub DueRow: Seq b'D' Plain, (u64, String) => OwnedUserId
}

row! {
    /// Whose a delay is; the partition is named by its id.
    pub DelayOwnerRow: Idx b'y' Plain, String => OwnedUserId
}

row! {
    /// The delay that a transaction made.
    pub DelayTxnRow: Idx b'X' Plain, [u8; 16] => String
}

row! {
    /// The delay that an event waited for: its sender is told.
    pub EventDelayRow: Idx b'Y' Plain, EventNo => String
}

row! {
    /// Sticky events (MSC4354) in the order in which they came. What has ended is removed when the
    /// next one comes.
    pub StickyEventRow: Seq b'S' Plain, Place => StickyEvent
}

/// See [`StickyEventRow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StickyEvent {
    pub no: EventNo,
    /// Milliseconds since the Unix epoch.
    pub until_ms: u64,
}

row! {
    /// Rooms with sticky events, and when the last of them ends (milliseconds since the Unix
    /// epoch); the partition is [`blaupause_data::DIRECTORY`].
    pub StickyRoomRow: Idx b's' Plain, OwnedRoomId => u64
}

row! {
    /// Events that other servers sent and that wait for their turn: position of the batch that
    /// took them in, index in it.
    pub InboxRow: Box b'i' Plain, (StreamPos, u16) => Waiting
}

/// See [`InboxRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Who sent it.
    pub origin: OwnedServerName,
    /// The event as it came: its shape is right, its signatures nobody has checked.
    pub pdu: String,
    /// When it came, in milliseconds since the Unix epoch.
    pub since_ms: u64,
}

row! {
    /// Rooms with events in their inbox, or that had some lately; the partition is
    /// [`blaupause_data::DIRECTORY`].
    pub InboxRoomRow: Box b'I' Plain, OwnedRoomId => ()
}

row! {
    /// Strangers that are in a room as other servers tell, and whose events are not taken.
    pub ToldStrangerRow: Mem b't' Plain, OwnedUserId => ToldStranger
}

/// See [`ToldStrangerRow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldStranger {
    /// Depth of the event that says so.
    pub depth: u64,
    pub is_joined: bool,
}

row! {
    /// Rooms that were joined without being told their members, also those of which they are known
    /// by now: then the row's position is that from which on. The partition is
    /// [`blaupause_data::DIRECTORY`].
    pub PartialRoomRow: Idx b'P' Stamped, OwnedRoomId => PartialRoom
}

/// See [`PartialRoomRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialRoom {
    /// The members are known now.
    pub is_whole: bool,
    /// The event with which we came: the state before it is what has to be known.
    pub join: EventNo,
    /// The server that let us in.
    pub via: OwnedServerName,
    /// Servers that it said are in the room. Until the members are known each counts as one who is
    /// joined.
    pub servers: Vec<OwnedServerName>,
}

row! {
    /// Events that were judged while a room's members were not known, in that order: position of
    /// the batch, index in it.
    pub PartialEventRow: Seq b'P' Plain, (StreamPos, u16) => EventNo
}

row! {
    /// Events that relate to an event which is not here yet, or redact it: hash of its id
    /// ([`blaupause_data::Parts::hash16`]), number of the event that points at it.
    pub LateRow: Idx b'W' Plain, ([u8; 16], EventNo) => ()
}

row! {
    /// Where an invitation or knock of a local user comes from whose room this server is not in.
    pub OutsideRow: Mem b'o' Plain, Part => Outside
}

row! {
    /// Leaves of rooms that this server is not in, of which no other has heard yet.
    pub UntoldLeaveRow: Idx b'f' Plain, (OwnedUserId, OwnedRoomId) => UntoldLeave
}

/// See [`UntoldLeaveRow`]. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UntoldLeave {
    /// JSON object.
    pub content: String,
    /// Who may know the room.
    pub servers: Vec<OwnedServerName>,
    pub since_ms: u64,
    /// When they are asked again, and how often they were.
    pub next_ms: u64,
    pub tries: u32,
}

/// See [`OutsideRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The full name: two names could have one partition.
    pub room_id: OwnedRoomId,
    /// The invitation, or the knock.
    pub event_id: OwnedEventId,
    pub version: RoomVersionId,
    /// Servers that are in the room.
    pub via: Vec<OwnedServerName>,
    /// The event with which the user left the room when this server was in it.
    pub left: Option<EventNo>,
}
