//! Room life: create, join, send, redact, invite, upgrade, find, read.
//!
//! Everything that writes to a room takes the room's [`lane`](crate::lane) first, lets the pure
//! graph seal and authorise what is to be said ([`append`](crate::append)), and writes it as one
//! batch whose precondition is the version of the room's head.
//!
//! What is deliberately absent: HTTP, other servers (until federation arrives, unknown rooms are
//! unknown), and rules of its own about who may do what: those are the authorization rules in
//! `graph`, and the house rules in `policy`, asked in one place (`append.rs`).
//!
//! Start reading at `send.rs`, then `append.rs`, then `lane.rs`.

mod aliases;
mod append;
mod create;
mod delayed;
mod directory;
mod error;
mod follow;
mod hot;
mod joined;
mod lane;
mod load;
mod member_rows;
mod membership;
mod mutual;
mod notices;
mod profiles;
mod read;
mod receipts;
mod redact;
mod relates;
mod relations;
mod report;
mod restricted;
pub mod rows;
mod search;
mod send;
mod settings;
mod spaces;
mod stripped;
mod summary;
mod typing;
mod upgrade;
mod validate;

use std::sync::{Arc, atomic::AtomicU64};

use blaupause_accounts::Accounts;
use blaupause_data::Data;

pub use aliases::ResolvedAlias;
pub use create::{CreateRoom, InitialState, Preset};
pub use delayed::{DelayAction, DelayLimits, DelayedEvent, Schedule};
pub use directory::{DirectoryPage, DirectoryQuery, Network};
pub use error::RoomsError;
pub use membership::{ChangeMembership, MembershipAction};
pub use mutual::MutualRooms;
pub use notices::{Notice, NoticeSettings};
pub use read::{
    Context, ContextQuery, EventInRoom, InitialSync, JoinedMember, MembersQuery, Messages,
    MessagesQuery, Reader, RoomAccess, Summary, filter,
};
pub use receipts::{NewReceipt, ReadUpTo, ReceiptContent, ReceiptEntry};
pub use redact::Redact;
pub use relations::{Relations, RelationsQuery, Threads, ThreadsQuery};
pub use report::{Report, Reported};
pub use rows::ReceiptKind;
pub use search::{SearchQuery, SearchResult, SearchResults};
pub use send::{SendEvent, SendState, Transaction};
pub use settings::{SUPPORTED_VERSIONS, Settings};
pub use spaces::{Hierarchy, HierarchyQuery};
pub use upgrade::UpgradeRoom;

/// Rooms of this server. Cheap to clone.
#[derive(Clone)]
pub struct Rooms(Arc<Inner>);

struct Inner {
    data: Data,
    accounts: Accounts,
    settings: Settings,
    lanes: lane::Lanes,
    typing: typing::Typing,
    key_numbers: read::KeyNumbers,
    families: read::Families,
    summaries: summary::SummaryCache,
    joined: joined::JoinedCache,
    clockwork: delayed::Clockwork,
    /// For whoever looks whether there is a room for notices, and makes one.
    notice_turn: tokio::sync::Mutex<()>,
    /// When a room was last created, in milliseconds since the Unix epoch.
    last_creation: AtomicU64,
}

impl Rooms {
    /// The domain over its stored data and the people in it.
    pub fn new(data: Data, accounts: Accounts, settings: Settings) -> Self {
        data.follow_log(follow::FOLLOWER);
        let lanes = lane::Lanes::new();
        let typing = typing::Typing::default();
        let rooms = Self(Arc::new(Inner {
            data,
            accounts,
            settings,
            lanes,
            typing,
            key_numbers: read::KeyNumbers::default(),
            families: read::Families::default(),
            summaries: summary::SummaryCache::default(),
            joined: joined::JoinedCache::default(),
            clockwork: delayed::Clockwork::default(),
            notice_turn: tokio::sync::Mutex::default(),
            last_creation: AtomicU64::new(0),
        }));
        let weak = Arc::downgrade(&rooms.0);
        let parts = rooms.data().parts();
        rooms.data().feed().follow(Box::new(move |_, changes| {
            let Some(inner) = weak.upgrade() else { return };
            for change in changes.iter() {
                inner.summaries.forget_changed(parts, change);
                inner.joined.forget_changed(change);
            }
        }));
        rooms
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn data(&self) -> &Data {
        &self.0.data
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    pub(crate) fn lanes(&self) -> &lane::Lanes {
        &self.0.lanes
    }

    pub(crate) fn typists(&self) -> &typing::Typing {
        &self.0.typing
    }

    pub(crate) fn summary_cache(&self) -> &summary::SummaryCache {
        &self.0.summaries
    }

    pub(crate) fn joined_cache(&self) -> &joined::JoinedCache {
        &self.0.joined
    }

    pub(crate) fn clockwork(&self) -> &delayed::Clockwork {
        &self.0.clockwork
    }

    pub(crate) fn notice_turn(&self) -> &tokio::sync::Mutex<()> {
        &self.0.notice_turn
    }

    pub(crate) fn key_numbers(&self) -> &read::KeyNumbers {
        &self.0.key_numbers
    }

    pub(crate) fn families(&self) -> &read::Families {
        &self.0.families
    }
}
