//! What a client has not seen yet: `/sync` and simplified sliding sync.
//!
//! Every answer covers positions `since < p <= until` of the one stream. Register first, read
//! second: a waiter is taken before looking, so nothing that happens in between is missed.
//!
//! What is deliberately absent: writing (except that a client's progress acknowledges its
//! to-device messages) and any knowledge of HTTP.
//!
//! Start reading at [`Sync::v3`], then `wait.rs` (the long poll), `span.rs` (what an answer covers),
//! `timeline.rs` and `state.rs`, which both kinds of sync use.

mod device_lists;
mod error;
mod events;
mod filter;
mod initial;
mod lazy;
mod notifier;
mod own;
mod passing;
mod presence;
mod shape;
mod sliding;
mod span;
mod state;
mod sticky;
mod summary;
mod timeline;
mod token;
mod v3;
mod wait;

use std::{pin::Pin, sync::Arc};

use blaupause_accounts::Accounts;
use blaupause_data::Data;
use blaupause_e2ee::E2ee;
use blaupause_notify::Notify;
use blaupause_rooms::Rooms;

pub use error::SyncError;
pub use events::Events;
pub use initial::{InitialRoom, InitialSync, InitialSyncQuery};
pub use notifier::{Notifier, Slot, Waiter};
pub use sliding::SlidingRequest;
pub use token::SyncToken;
pub use v3::{SyncRequest, one_time_counts};

/// A future on the heap. Where futures of futures borrow, the compiler needs some of them erased to
/// see that they may go from thread to thread.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, SyncError>> + Send + 'a>>;

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
    direct: sliding::DirectCache,
    configs: sliding::ConfigPool,
}

impl Sync {
    /// The domain over those that it reads from.
    pub fn new(data: Data, accounts: Accounts, rooms: Rooms, e2ee: E2ee, notify: Notify) -> Self {
        let passing = passing::PassingLog::new(&data);
        let facts = sliding::FactsCache::new(&data);
        let direct = sliding::DirectCache::new(&data);
        let notifier = Notifier::new(&data);
        Self(Arc::new(Inner {
            notifier,
            passing,
            facts,
            direct,
            configs: sliding::ConfigPool::new(),
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
