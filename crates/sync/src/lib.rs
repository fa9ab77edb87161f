//! What a client has not seen yet: `/sync` and simplified sliding sync.
//!
//! Every answer covers positions `since < p <= until` of the one stream. Register first, read
//! second: a waiter is taken before looking, so nothing that happens in between is missed.
//!
//! What is deliberately absent: writing (except that a client's progress acknowledges its
//! to-device messages) and any knowledge of HTTP.
//!
//! Start reading at [`Sync::v3`], then `timeline.rs` and `state.rs`, which both kinds of sync use.

mod device_lists;
mod error;
mod filter;
mod lazy;
mod notifier;
mod passing;
mod shape;
mod sliding;
mod state;
mod summary;
mod timeline;
mod token;
mod v3;

use std::sync::Arc;

use blaupause_accounts::Accounts;
use blaupause_data::Data;
use blaupause_e2ee::E2ee;
use blaupause_notify::Notify;
use blaupause_rooms::Rooms;

pub use error::SyncError;
pub use notifier::{Notifier, Slot, Waiter};
pub use sliding::SlidingRequest;
pub use token::SyncToken;
pub use v3::{SyncRequest, one_time_counts};

/// Both kinds of sync. Cheap to clone.
#[derive(Clone)]
pub struct Sync(Arc<Inner>);

struct Inner {
    data: Data,
    accounts: Accounts,
    rooms: Rooms,
    e2ee: E2ee,
    notify: Notify,
    notifier: Notifier,
    passing: passing::PassingLog,
    lazy: lazy::SentMembers,
    connections: sliding::Connections,
    facts: sliding::FactsCache,
}

impl Sync {
    /// The domain over those that it reads from.
    pub fn new(data: Data, accounts: Accounts, rooms: Rooms, e2ee: E2ee, notify: Notify) -> Self {
        // What is looked at must know of a change before the client is woken to look: callbacks run
        // in the order in which they were registered.
        let passing = passing::PassingLog::new(&data);
        let facts = sliding::FactsCache::new(&data);
        let notifier = Notifier::new(&data);
        Self(Arc::new(Inner {
            notifier,
            passing,
            facts,
            lazy: lazy::SentMembers::new(),
            connections: sliding::Connections::new(),
            data,
            accounts,
            rooms,
            e2ee,
            notify,
        }))
    }

    pub(crate) fn data(&self) -> &Data {
        &self.0.data
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.0.rooms
    }

    pub(crate) fn e2ee(&self) -> &E2ee {
        &self.0.e2ee
    }

    pub(crate) fn notify(&self) -> &Notify {
        &self.0.notify
    }

    pub(crate) fn notifier(&self) -> &Notifier {
        &self.0.notifier
    }

    pub(crate) fn passing(&self) -> &passing::PassingLog {
        &self.0.passing
    }

    pub(crate) fn lazy(&self) -> &lazy::SentMembers {
        &self.0.lazy
    }
}
