use blaupause_accounts::AccountsError;
use blaupause_data::DataError;
use blaupause_federation::FederationError;
use blaupause_graph::Refusal;
use ruma::{OwnedUserId, RoomVersionId};

use crate::recommend::Unasked;

/// Why a room did not do what was asked.
///
/// The texts are safe to show to the person who asked, those of [`RoomsError::Data`],
/// [`RoomsError::Accounts`] and [`Refusal::Corrupt`] excepted.
#[derive(Debug, thiserror::Error)]
pub enum RoomsError {
    /// This server does not know the room, or the person may not know that it does.
    #[error("room not known")]
    RoomUnknown,
    /// The person is not in the room (any more).
    #[error("you are not in this room")]
    NotJoined,
    /// The room's rules, or ours, do not allow it.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A suspended person may only take back what they said themselves.
    #[error("you may only redact your own events")]
    OnlyOwn,
    /// The event was not accepted by the rules of the room version.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No such event, or none that the person may see.
    #[error("event not found")]
    EventUnknown,
    /// Nothing there: state, alias, summary.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// A parameter has a value that makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// A field is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// The content of an event does not have the shape that its type prescribes.
    #[error("{0}")]
    BadContent(String),
    /// The state that a new room was asked to start with contradicts itself.
    #[error("the room cannot start with this state: {0}")]
    InvalidRoomState(String),
    /// Rooms of this version cannot be made here.
    #[error("room version {0} is not supported")]
    UnsupportedVersion(RoomVersionId),
    /// The other server does not know the room's version.
    #[error("your server does not know room version {0}, which this room has")]
    IncompatibleVersion(RoomVersionId),
    /// Whether somebody may come in depends on rooms that this server is not in.
    #[error("this server cannot tell whether you may join")]
    CannotAuthoriseJoin,
    /// Somebody may come in, but nobody of this server has the right to let them.
    #[error("nobody of this server may let you in")]
    CannotGrantJoin,
    /// The alias already leads to a room.
    #[error("the room alias is taken")]
    AliasTaken,
    /// A canonical alias that does not lead to this room.
    #[error("{0}")]
    BadAlias(String),
    /// The room can be forgotten only after leaving it.
    #[error("you are still in this room")]
    StillInRoom,
    /// Third-party identifiers are not invited by this server.
    #[error("invitations by mail or phone are not supported")]
    ThirdPartyInvite,
    /// The invited person does not take invitations.
    #[error("{0} does not accept invitations")]
    InviteBlocked(OwnedUserId),
    /// Too much in one request.
    #[error("too many {what}, {max} are allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many are allowed.
        max: usize,
    },
    /// The invitation to the room for notices of the server cannot be declined.
    #[error("you cannot decline notices of this server")]
    NoticeRoom,
    /// The server sends no notices.
    #[error("server notices are not enabled on this server")]
    NoticesOff,
    /// Events are not sent later here.
    #[error("this server does not send events later")]
    DelaysOff,
    /// The delay is longer than the server allows.
    #[error("the delay is longer than the {max_ms} ms that are allowed")]
    DelayTooLong {
        /// Longest delay in milliseconds.
        max_ms: u64,
    },
    /// Too many events of this person wait already.
    #[error("too many of your events wait to be sent")]
    TooManyDelayed {
        /// Until the next of them is sent.
        retry_ms: u64,
    },
    /// The delayed event was sent, or will never be.
    #[error("the delayed event no longer waits")]
    DelayEnded,
    /// The room was just joined: who is in it is not known yet.
    #[error("the members of this room are not known yet, try again later")]
    StatePartial,
    #[error(transparent)]
    Data(#[from] DataError),
    /// The room has people of servers that ours has nothing to do with.
    #[error("people of servers are in this room that this server does not federate with: {0}")]
    MixedRoom(String),
    /// The room's policy server refuses to sign the event: what it said.
    #[error("the policy server of the room refuses this: {message}")]
    NotRecommended {
        /// HTTP status.
        status: u16,
        errcode: String,
        message: String,
    },
    /// The room's policy server has to be asked before the event can be taken. Nobody outside of
    /// this crate gets to see this.
    #[error("the policy server of the room was not asked")]
    Unasked(Box<Unasked>),
    /// Another server was needed and of no use.
    #[error(transparent)]
    Federation(#[from] FederationError),
    #[error(transparent)]
    Accounts(#[from] AccountsError),
}

impl RoomsError {
    /// Whether to read again and try once more: somebody else was faster.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Data(DataError::Conflict { .. }))
    }
}
