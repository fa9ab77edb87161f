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

mod acl;
mod aliases;
mod append;
mod backfill;
mod carry;
mod create;
mod creators;
mod delayed;
mod directory;
mod error;
mod follow;
mod gather;
mod guests;
mod hear;
mod hot;
mod import;
mod intake;
mod joined;
mod lane;
mod load;
mod member_event;
mod member_rows;
mod membership;
mod mixed;
mod mutual;
mod notices;
mod outliers;
mod partial;
mod profiles;
mod read;
mod receipts;
mod recommend;
mod redact;
mod relates;
mod relations;
mod remote;
mod remote_append;
mod report;
mod resident;
mod restricted;
mod retention;
pub mod rows;
mod search;
mod send;
mod serve;
mod settings;
mod spaces;
mod stage;
mod state_tree;
mod sticky;
mod stripped;
mod summary;
mod tell;
#[cfg(test)]
mod tests;
mod typing;
mod upgrade;
mod validate;
mod verify;

use std::sync::{Arc, atomic::AtomicU64};

use blaupause_accounts::Accounts;
use blaupause_data::{Data, Follower};
use blaupause_federation::Federation;

pub use aliases::ResolvedAlias;
pub use create::{CreateRoom, InitialState, Preset};
pub use delayed::{DelayAction, DelayLimits, DelayedEvent, Schedule};
pub use directory::{DirectoryPage, DirectoryQuery, Network};
pub use error::RoomsError;
pub use membership::{ChangeMembership, MembershipAction};
pub use mutual::MutualRooms;
pub use notices::{Notice, NoticeSettings};
pub use partial::Wholeness;
pub use read::{
    Context, ContextQuery, EventInRoom, InitialSync, JoinedMember, MembersQuery, Messages,
    MessagesQuery, Reader, RoomAccess, Summary, filter,
};
pub use receipts::{NewReceipt, ReadUpTo, ReceiptContent, ReceiptEntry};
pub use recommend::Unasked;
pub use redact::Redact;
pub use relations::{Relations, RelationsQuery, Threads, ThreadsQuery};
pub use remote::Invited;
pub use report::{Report, Reported};
pub use resident::{HandedOver, Handshake, JoinedState, Template, TemplateQuery};
pub use retention::Retention;
pub use rows::ReceiptKind;
pub use search::{SearchQuery, SearchResult, SearchResults};
pub use send::{SendEvent, SendState, Transaction};
pub use serve::{Gap, ServerAccess, SpaceForServer, StateAt, StateIdsAt};
pub use settings::{SUPPORTED_VERSIONS, Settings};
pub use spaces::{Hierarchy, HierarchyQuery};
pub use stage::Staged;
pub use sticky::{StickyPage, StickyQuery};
pub use upgrade::UpgradeRoom;

/// Rooms of this server. Cheap to clone.
#[derive(Clone)]
pub struct Rooms(Arc<Inner>);

struct Inner {
    data: Data,
    accounts: Accounts,
    federation: Federation,
    settings: Settings,
    lanes: lane::Lanes,
    typing: typing::Typing,
    inbox: intake::Inbox,
    follower: Follower,
    key_numbers: read::KeyNumbers,
    families: read::Families,
    summaries: summary::SummaryCache,
    remote_spaces: spaces::RemoteSpaces,
    joined: joined::JoinedCache,
    clockwork: delayed::Clockwork,
    /// Rooms that somebody is about to come into through other servers.
    flights: remote::Flights,
    farewells: remote::Farewells,
    strangers: mixed::ToldStrangers,
    /// What policy servers said.
    words: recommend::Words,
    sticky: sticky::StickyRooms,
    partial: partial::PartialRooms,
    early_receipts: hear::EarlyReceipts,
    /// For whoever looks whether there is a room for notices, and makes one.
    notice_turn: tokio::sync::Mutex<()>,
    /// When a room was last created, in milliseconds since the Unix epoch.
    last_creation: AtomicU64,
}

impl Rooms {
    /// The domain over its stored data, the people in it, and the other servers.
    pub fn new(data: Data, accounts: Accounts, federation: Federation, settings: Settings) -> Self {
        data.follow_log(follow::FOLLOWER);
        let lanes = lane::Lanes::new();
        let typing = typing::Typing::default();
        let rooms = Self(Arc::new(Inner {
            data,
            accounts,
            federation,
            settings,
            lanes,
            typing,
            inbox: intake::Inbox::default(),
            follower: Follower::new(follow::FOLLOWER),
            key_numbers: read::KeyNumbers::default(),
            families: read::Families::default(),
            summaries: summary::SummaryCache::default(),
            remote_spaces: spaces::RemoteSpaces::default(),
            joined: joined::JoinedCache::default(),
            clockwork: delayed::Clockwork::default(),
            flights: remote::Flights::default(),
            farewells: remote::Farewells::default(),
            strangers: mixed::ToldStrangers::default(),
            words: recommend::Words::default(),
            sticky: sticky::StickyRooms::default(),
            partial: partial::PartialRooms::default(),
            early_receipts: hear::EarlyReceipts::default(),
            notice_turn: tokio::sync::Mutex::default(),
            last_creation: AtomicU64::new(0),
        }));
        let weak = Arc::downgrade(&rooms.0);
        let parts = rooms.data().parts();
        rooms.data().feed().follow(Box::new(move |pos, changes| {
            let Some(inner) = weak.upgrade() else { return };
            inner.partial.note(pos, changes);
            for change in changes.iter() {
                inner.summaries.forget_changed(parts, change);
                inner.joined.forget_changed(change);
            }
            for room in inner.early_receipts.touched(changes) {
                let rooms = Self(Arc::clone(&inner));
                inner.data.env().spawn(async move { rooms.look_again_for_receipts(&room).await });
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

    /// The other servers.
    pub fn federation(&self) -> &Federation {
        &self.0.federation
    }

    pub(crate) fn lanes(&self) -> &lane::Lanes {
        &self.0.lanes
    }

    pub(crate) fn follower(&self) -> &Follower {
        &self.0.follower
    }

    pub(crate) fn inbox(&self) -> &intake::Inbox {
        &self.0.inbox
    }

    pub(crate) fn typists(&self) -> &typing::Typing {
        &self.0.typing
    }

    pub(crate) fn summary_cache(&self) -> &summary::SummaryCache {
        &self.0.summaries
    }

    pub(crate) fn remote_spaces(&self) -> &spaces::RemoteSpaces {
        &self.0.remote_spaces
    }

    pub(crate) fn joined_cache(&self) -> &joined::JoinedCache {
        &self.0.joined
    }

    pub(crate) fn farewells(&self) -> &remote::Farewells {
        &self.0.farewells
    }

    pub(crate) fn flights(&self) -> &remote::Flights {
        &self.0.flights
    }

    pub(crate) fn words(&self) -> &recommend::Words {
        &self.0.words
    }

    pub(crate) fn strangers(&self) -> &mixed::ToldStrangers {
        &self.0.strangers
    }

    pub(crate) fn clockwork(&self) -> &delayed::Clockwork {
        &self.0.clockwork
    }

    pub(crate) fn early_receipts(&self) -> &hear::EarlyReceipts {
        &self.0.early_receipts
    }

    pub(crate) fn partial_rooms(&self) -> &partial::PartialRooms {
        &self.0.partial
    }

    pub(crate) fn sticky_memory(&self) -> &sticky::StickyRooms {
        &self.0.sticky
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
