//! One line in the log for each thing a batch did.

use blaupause_graph::EventNo;
use bytes::Bytes;
use ruma::{
    OwnedDeviceId, OwnedRoomId, OwnedServerName, OwnedUserId, events::room::member::MembershipState,
};
use serde::{Deserialize, Serialize};

/// What a batch did, for those who follow the log. Carries names, never content.
///
/// Stored: only append variants, never reorder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// An event was appended to a room's timeline.
    Event { room: OwnedRoomId, no: EventNo },
    /// A *local* user's membership of a room changed (in the batch of the event that changed it).
    Membership { user: OwnedUserId, room: OwnedRoomId, membership: Member },
    /// A receipt in a room moved.
    Receipt { room: OwnedRoomId, user: OwnedUserId },
    /// A user's account data changed, in a room or (`None`) globally. Push rules are account data.
    AccountData { user: OwnedUserId, room: Option<OwnedRoomId> },
    /// Messages wait for a device.
    ToDevice { user: OwnedUserId, device: OwnedDeviceId },
    /// A user's devices, device keys or cross-signing keys changed.
    Devices { user: OwnedUserId },
    /// The number of a device's one-time or fallback keys changed.
    OneTimeKeys { user: OwnedUserId, device: OwnedDeviceId },
    /// A local user's profile changed.
    Profile { user: OwnedUserId },
    /// A local user was deactivated.
    Deactivated { user: OwnedUserId },
    /// A user's unread counts in a room changed without a new event.
    Unread { user: OwnedUserId, room: OwnedRoomId },
    /// An existing event changed in place: it was redacted, or one that only stood in the state of
    /// another server now has its own standing here.
    Redacted { room: OwnedRoomId, no: EventNo },
    /// A server's first member joined a room, or its last one left.
    Servers { room: OwnedRoomId },
    /// Another server is owed something new.
    Owed { server: OwnedServerName },
    /// With this member event everything goes that the member said (MSC4293).
    Swept { room: OwnedRoomId, no: EventNo },
    /// A room no longer admits guests.
    GuestsOut { room: OwnedRoomId },
    /// History was put below events of a room, or into a gap between them; or entries of the
    /// timeline were removed.
    History { room: OwnedRoomId },
    /// A local user signed the master key of somebody else, which only they themselves see.
    Signed { signer: OwnedUserId, of: OwnedUserId },
    /// The members of a room that was joined without them are known now: the state is another one
    /// from here on. `gone`: people of other servers who were believed to be there; `servers`:
    /// those that are, or were meanwhile, and nobody knew.
    StateWhole { room: OwnedRoomId, gone: Vec<OwnedUserId>, servers: Vec<OwnedServerName> },
}

/// Membership of a user in a room, as stored. The number is part of keys.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Member {
    Join = 1,
    Invite,
    Knock,
    Leave,
    Ban,
}

impl Member {
    /// From an event's content; custom memberships count as leave.
    pub fn from_state(state: &MembershipState) -> Self {
        match state {
            MembershipState::Join => Self::Join,
            MembershipState::Invite => Self::Invite,
            MembershipState::Knock => Self::Knock,
            MembershipState::Ban => Self::Ban,
            _ => Self::Leave,
        }
    }

    /// As the Matrix term.
    pub fn to_state(self) -> MembershipState {
        match self {
            Self::Join => MembershipState::Join,
            Self::Invite => MembershipState::Invite,
            Self::Knock => MembershipState::Knock,
            Self::Leave => MembershipState::Leave,
            Self::Ban => MembershipState::Ban,
        }
    }
}

impl Change {
    pub(crate) fn encode(&self) -> Bytes {
        postcard::to_stdvec(self).expect("changes have plain data only").into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// What happened without being stored: lost on restart by design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passing {
    /// The set of typing users of a room changed.
    Typing { room: OwnedRoomId },
    /// A user's presence changed.
    Presence { user: OwnedUserId },
}
