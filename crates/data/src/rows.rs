//! The catalogue: every kind of row, so that no tag is given twice.
//!
//! Partition letters: R room, U user, D other server, S slot, X named thing, G directory.
//! Rows of rooms are declared in this crate, because every domain reads them; the others in the
//! crate that owns them. A test of this crate checks the catalogue against the code.
//!
//! | table | tag | part | crate | key -> value |
//! |-------|-----|------|-------|--------------|
//! | evt   | e   | R    | data  | event number -> header, JSON |
//! | idx   | i   | R    | data  | event id hash -> event number |
//! | idx   | k   | R    | data  | type, state key -> state key number |
//! | idx   | K   | R    | data  | state key number -> type, state key |
//! | idx   | x   | R    | rooms | user, device, transaction hash -> event |
//! | idx   | W   | R    | rooms | hash of an absent event's id, number -> event that points at it |
//! | idx   | T   | R    | rooms | event number -> device, transaction |
//! | idx   | Y   | R    | rooms | event number -> delay it waited for |
//! | idx   | p   | G    | notify | user whose pushers have something to do |
//! | idx   | q   | G    | notify | hash of app and push key, user -> pusher |
//! | idx   | y   | X    | rooms | delay -> whose it is |
//! | idx   | X   | U    | rooms | transaction hash -> delay |
//! | idx   | s   | G    | rooms | room with sticky events -> when the last of them ends |
//! | idx   | f   | G    | rooms | user, room -> leave that no other server heard of yet |
//! | idx   | E   | X    | data  | event id -> room |
//! | idx   | a   | X    | rooms | alias -> room |
//! | idx   | A   | R    | rooms | local alias of the room |
//! | idx   | t   | U    | accounts | token hash -> access or refresh token |
//! | idx   | L   | U    | accounts | token hash -> end of a login token |
//! | idx   | o   | U    | accounts | token hash -> end of an OpenID token |
//! | idx   | g   | G    | accounts | registration token -> uses, end |
//! | idx   | b   | U    | accounts | cookie hash -> end of a session on the account pages |
//! | idx   | c   | U    | accounts | code hash -> OAuth authorization code |
//! | idx   | C   | G    | accounts | client id -> OAuth client |
//! | idx   | d   | G    | federation | servers that were ever owed something |
//! | idx   | v   | G    | accounts | user code -> OAuth device grant |
//! | idx   | S   | X    | sso   | issuer, subject -> user |
//! | idx   | O   | X    | sso   | provider, its session -> user |
//! | idx   | 3   | X    | accounts | whose a mail address is |
//! | idx   | V   | G    | accounts | session id -> mail address that is being proved |
//! | idx   | l   | G    | accounts | local user directory |
//! | idx   | r   | G    | rooms | room directory (published rooms) |
//! | idx   | R   | G    | rooms | every room on this server |
//! | idx   | N   | G    | rooms | service, network, room: a service's room directory |
//! | idx   | m   | X    | media | media id -> what it stands for |
//! | idx   | n   | X    | media | width, height, method -> thumbnail |
//! | seq   | l   | S    | store | position, index -> change line |
//! | seq   | t   | R    | data  | place -> event number, state after it |
//! | seq   | r   | R    | data  | target event, relation, place -> event number |
//! | seq   | g   | R    | data  | place -> events before it that are not here |
//! | seq   | h   | R    | rooms | place -> reply in a thread, its root |
//! | seq   | d   | G    | e2ee  | position -> user whose devices changed |
//! | seq   | w   | R    | rooms | page number -> words of messages |
//! | idx   | P   | G    | rooms | room that was joined without its members -> what is known of it |
//! | seq   | P   | R    | rooms | position, index -> event judged while members were not known |
//! | seq   | s   | R    | rooms | position, kind -> receipt that moved |
//! | seq   | e   | G    | rooms | position -> report of content, room or person |
//! | seq   | S   | R    | rooms | place -> sticky event, its end |
//! | seq   | D   | G    | rooms | time, delay -> whose delayed event is due |
//! | seq   | u   | U    | notify | position -> thread subscription that changed |
//! | seq   | n   | U    | notify | place -> what the user was notified of |
//! | seq   | N   | G    | notify | day, user -> who was notified then |
//! | state | p   | R    | data  | page number -> trie page |
//! | state | a   | R    | data  | event number -> auth edges |
//! | state | c   | R    | data  | state key number -> event number (current) |
//! | mem   | j   | R    | data  | membership, user -> member |
//! | mem   | s   | R    | data  | server -> how many of its users are joined |
//! | mem   | t   | R    | rooms | stranger that others tell of -> whether they are in the room |
//! | mem   | r   | U    | data  | room -> my membership |
//! | mem   | o   | U    | rooms | room we are not in -> where an invitation or knock comes from |
//! | usr   | d   | U    | accounts | device -> name, tokens |
//! | usr   | D   | U    | accounts | device -> last seen |
//! | usr   | H   | U    | accounts | dehydrated device |
//! | usr   | p   | U    | accounts | profile |
//! | usr   | a   | U    | accounts | room or nothing, type -> account data |
//! | usr   | F   | U    | accounts | number -> filter |
//! | usr   | N   | U    | rooms | room for notices of the server |
//! | usr   | 3   | U    | accounts | kind, address -> mail address of the user |
//! | usr   | O   | U    | accounts | device -> OAuth client, scope, token family |
//! | usr   | I   | U    | accounts | kind, name -> provider that opened a cookie, code, token or device |
//! | usr   | i   | U    | sso   | issuer -> subject |
//! | usr   | S   | U    | sso   | provider, its session -> last sign-in from there |
//! | usr   | X   | U    | accounts | until when cross-signing keys may be replaced |
//! | usr   | R   | R    | rooms | user, kind, thread -> receipt |
//! | usr   | y   | U    | rooms | delay -> event that waits |
//! | usr   | Y   | U    | rooms | delay -> content of the event |
//! | usr   | Z   | U    | rooms | delay -> how long the event is to be sticky |
//! | usr   | z   | U    | rooms | delay -> how the event ended |
//! | usr   | k   | U    | e2ee  | device -> device keys |
//! | usr   | K   | D    | federation | keys of another server |
//! | usr   | x   | U    | e2ee  | usage -> cross-signing key |
//! | usr   | s   | U    | e2ee  | other user, key -> my signature on their master key |
//! | usr   | g   | U    | e2ee  | other user -> when I last signed their master key |
//! | usr   | c   | U    | e2ee  | when devices or keys last changed |
//! | usr   | L   | U    | e2ee  | what is known of the devices of a remote user |
//! | usr   | t   | U    | e2ee  | what other servers were told of the user's devices |
//! | usr   | b   | U    | e2ee  | version -> key backup |
//! | usr   | B   | U    | e2ee  | version, room, session -> backed-up key |
//! | usr   | M   | U    | media | media id -> waits for its content since |
//! | usr   | P   | U    | notify | app, push key -> pusher |
//! | usr   | q   | U    | notify | app, push key -> how far the pusher is |
//! | usr   | T   | U    | notify | room, thread root -> subscription |
//! | box   | i   | R    | rooms | position, index -> event of another server that waits |
//! | box   | I   | G    | rooms | room with events that wait |
//! | box   | m   | U    | e2ee  | device, position, index -> to-device message |
//! | box   | t   | U    | e2ee  | device, transaction hash -> when it was done |
//! | box   | o   | U    | e2ee  | device, algorithm, position, index -> one-time key |
//! | box   | f   | U    | e2ee  | device, algorithm -> fallback key |
//! | box   | A   | S    | notify | application service, index -> piece of its open transaction |
//! | box   | q   | D    | federation | room -> events that a server is owed |
//! | box   | e   | D    | federation | position, index -> EDU that a server is owed |
//! | box   | T   | D    | federation | transaction hash -> what a server's transaction was answered |
//! | meta  | A   | S    | notify | application service -> how far it has been told |
//! | meta  | e   | R    | rooms | up to where messages whose time is over have been removed |
//! | meta  | h   | R    | data  | room head |
//! | meta  | u   | U    | accounts | account head |
//! | meta  | P   | S    | store | last position |
//! | meta  | C   | S    | store | how far a copy into this store is; gone when it is complete |
//! | meta  | s   | S    | data  | this installation's secrets |
//! | meta  | k   | S    | data  | key version -> signing key that was replaced |
//! | meta  | c   | S    | data  | a follower's cursor |
//! | meta  | d   | D    | federation | how long a server has not taken what it is owed |

use blaupause_graph::{EventNo, PageNo, StateKeyNo, StateRoot};
use blaupause_store::{Part, StreamPos};
use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomVersionId};
use serde::{Deserialize, Serialize};

use crate::{Member, Place, row};

row! {
    /// The only thing that changes in a room: see [`RoomHead`].
    pub HeadRow: Meta b'h' VersionedStamped, () => RoomHead
}

/// What a room is now. One version check on this row orders everything that happens in the room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomHead {
    /// The full name, compared on every load: two names could have one partition.
    pub room_id: OwnedRoomId,
    pub version: RoomVersionId,
    /// Next free numbers.
    pub next_event: EventNo,
    pub next_state_key: StateKeyNo,
    pub next_page: PageNo,
    /// Forward extremities: events that no event points to yet.
    pub tips: Vec<Tip>,
    /// Current state.
    pub state: StateRoot,
    /// How many users are joined, invited.
    pub joined: u64,
    pub invited: u64,
}

/// A forward extremity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    pub no: EventNo,
    pub event_id: OwnedEventId,
    pub depth: u64,
    /// State after the event.
    pub state: StateRoot,
}

row! {
    /// An event: header and PDU.
    pub EventRow: Evt b'e' Stamped, EventNo => StoredEvent
}

/// An event as stored. The row's position is that of its batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    pub event_id: OwnedEventId,
    /// Where in the timeline; `None` for events outside of it (rejected, outliers). A live place
    /// has the row's own position.
    pub place: Option<Place>,
    /// The room's state before and after the event (the same unless it is a state event).
    pub state_before: StateRoot,
    pub state_after: StateRoot,
    pub auth: Vec<EventNo>,
    pub prev: Vec<EventNo>,
    /// Refused by the auth rules: kept so that it is not fetched again, never shown.
    pub rejected: bool,
    /// Accepted, but not shown and not a tip.
    pub soft_failed: bool,
    /// The redaction that took this event's content away; the event itself: its time is over.
    pub redacted_by: Option<EventNo>,
    /// The state event that this one replaced in the current state.
    pub replaces: Option<EventNo>,
    /// The PDU as canonical JSON.
    pub pdu: String,
}

row! {
    /// Event number of an event id (by its 16-byte hash, see [`crate::Parts::hash16`]).
    pub EventNoRow: Idx b'i' Plain, [u8; 16] => EventNo
}

row! {
    /// Which room an event is in; the partition is [`crate::Parts::event`].
    pub EventRoomRow: Idx b'E' Plain, OwnedEventId => OwnedRoomId
}

row! {
    /// The number of a state key.
    pub StateKeyNoRow: Idx b'k' Plain, (String, String) => StateKeyNo
}

row! {
    /// The state key of a number: event type, state key.
    pub StateKeyRow: Idx b'K' Plain, StateKeyNo => (String, String)
}

row! {
    /// The timeline: what happened in the room in the order in which this server learned of it.
    pub TimelineRow: Seq b't' Plain, Place => TimelineEntry
}

/// One entry of a room's timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    pub no: EventNo,
    /// The room's *current* state after this entry (merged over all tips).
    pub state: StateRoot,
    /// History lies directly before it that this server was not told of: see [`GapRow`].
    pub gap: bool,
}

row! {
    /// Where a room's timeline has a gap: the events before it that other servers have to be asked
    /// for. The place is that of the entry after the gap.
    pub GapRow: Seq b'g' Plain, Place => Vec<OwnedEventId>
}

row! {
    /// Events that relate to an event: target, relation type, place.
    pub RelationRow: Seq b'r' Plain, (EventNo, String, Place) => EventNo
}

row! {
    /// A page of the state trie.
    pub PageRow: State b'p' Plain, PageNo => Vec<u8>
}

row! {
    /// The auth events of a state event, for the resident auth graph.
    pub AuthRow: State b'a' Plain, EventNo => Vec<EventNo>
}

row! {
    /// Current state: which event has the state key.
    pub CurrentRow: State b'c' Plain, StateKeyNo => EventNo
}

row! {
    /// The room's members by membership.
    pub MemberRow: Mem b'j' Plain, (u8, Part) => RoomMember
}

/// A member as the room sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomMember {
    pub user_id: OwnedUserId,
    /// The member event.
    pub no: EventNo,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
}

row! {
    /// The servers in a room, ours too, and how many of their users are joined; gone at 0.
    pub RoomServerRow: Mem b's' Plain, OwnedServerName => u64
}

row! {
    /// The rooms of a *local* user; written in the room's batch (a projection row).
    pub UserRoomRow: Mem b'r' Stamped, Part => UserRoom
}

/// A room as one of its (former) members sees it. The row's position is that of the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRoom {
    pub room_id: OwnedRoomId,
    pub membership: Member,
    /// Position at which this membership began, if an earlier write of the row began it (a joined
    /// member who only changes their name); `None`: this row's own position.
    pub entered: Option<u64>,
    /// The member event; `None` for an invite or knock of a room this server is not in.
    pub no: Option<EventNo>,
    /// Who sent the member event.
    pub sender: OwnedUserId,
    /// Forgotten: no longer shown in sync, history no longer readable.
    pub forgotten: bool,
    /// Whether the user was ever joined (history before a leave may be read).
    pub was_joined: bool,
    /// Stripped state of an invite or knock: JSON events.
    pub stripped: Vec<String>,
}

impl crate::Found<UserRoom> {
    /// The position at which the membership began.
    pub fn entered_at(&self) -> StreamPos {
        self.value.entered.map_or(self.pos, StreamPos)
    }
}

row! {
    /// Secrets that this installation made for itself.
    pub InstallationRow: Meta b's' Plain, () => Installation
}

/// Made once, when the store is new.
#[derive(Clone, Serialize, Deserialize)]
pub struct Installation {
    /// Key of the partition hash.
    pub part_key: [u8; 16],
    /// Name of the server the data belongs to.
    pub server_name: String,
    /// Ed25519 signing key, PKCS#8 DER, and its version (the key id is `ed25519:<version>`).
    pub signing_key: Vec<u8>,
    pub signing_key_version: String,
}

row! {
    /// A signing key that this server no longer uses, by its version.
    pub OldKeyRow: Meta b'k' Plain, String => OldKey
}

/// Published for ever, so that what was signed with it can be checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldKey {
    /// 32 bytes.
    pub public_key: Vec<u8>,
    /// When it was replaced (milliseconds since the Unix epoch).
    pub expired_ms: u64,
}

row! {
    /// How far a named follower has read the log.
    pub CursorRow: Meta b'c' Plain, String => u64
}
