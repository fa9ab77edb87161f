//! Reading a room. Every read starts with [`Rooms::access`]: only that check makes a
//! [`RoomAccess`], and only a [`RoomAccess`] reads.
//!
//! Costs, in round trips, with warm caches: access 1, then messages 2 (timeline, relations).
//! History visibility is decided for a whole page at once (`visibility.rs`), and events become
//! JSON in one place (`serialize.rs`), which sync uses too.

mod access;
mod bundle;
mod context;
mod elsewhere;
mod event;
pub mod filter;
mod initial;
mod members;
mod messages;
mod names;
mod partial;
mod serialize;
mod state;
mod summary;
mod timeline;
mod timestamp;
mod token;
mod visibility;

use ruma::{OwnedDeviceId, OwnedUserId};

pub use access::RoomAccess;
pub use context::{Context, ContextQuery};
pub use event::EventInRoom;
pub use initial::InitialSync;
pub use members::{JoinedMember, MembersQuery};
pub use messages::{Messages, MessagesQuery};
pub use summary::Summary;

pub(crate) use bundle::Families;
pub(crate) use messages::page_limit;
pub(crate) use names::KeyNumbers;
pub(crate) use summary::Memberships;
pub(crate) use token::parse as parse_gap;
pub(crate) use visibility::{membership_in, visibility_in};

/// Who reads. What they may see and what is theirs depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    pub user: OwnedUserId,
    /// `None` for an app service that acts as the user.
    pub device: Option<OwnedDeviceId>,
}

impl Reader {
    /// With a device, or without.
    pub fn new(user: OwnedUserId, device: Option<OwnedDeviceId>) -> Self {
        Self { user, device }
    }
}
