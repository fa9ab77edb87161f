//! What deserves a user's attention: push rules, unread counts, pushers.
//!
//! Counts are not stored. They follow from the timeline, the receipts and the rules, and are kept
//! in memory per user and room as far as they were computed; only users who sync cost anything.
//!
//! What is deliberately absent: sending to push gateways (it will follow the log, like every
//! sender).
//!
//! Start reading at [`Notify::counts`].

mod context;
mod counts;
mod error;
mod judge;
mod pushers;
pub mod rows;
mod rules;

use std::sync::Arc;

use blaupause_accounts::Accounts;
use blaupause_data::Data;
use blaupause_rooms::Rooms;

pub use counts::{Count, RoomCounts};
pub use error::NotifyError;
pub use rules::Place as RulePlace;

/// Rules, counts and pushers. Cheap to clone.
#[derive(Clone)]
pub struct Notify(Arc<Inner>);

struct Inner {
    data: Data,
    accounts: Accounts,
    rooms: Rooms,
    rulesets: rules::RulesetCache,
    counts: counts::CountCache,
    judged: judge::JudgedCache,
}

impl Notify {
    /// The domain over those that it reads from.
    pub fn new(data: Data, accounts: Accounts, rooms: Rooms) -> Self {
        let notify = Self(Arc::new(Inner {
            rulesets: rules::RulesetCache::new(),
            counts: counts::CountCache::new(),
            judged: judge::JudgedCache::new(),
            data,
            accounts,
            rooms,
        }));
        let weak = Arc::downgrade(&notify.0);
        notify.0.data.feed().follow(Box::new(move |_, changes| {
            let Some(inner) = weak.upgrade() else { return };
            for change in changes.iter() {
                inner.rulesets.forget_changed(change);
                inner.counts.forget_changed(change);
            }
        }));
        notify
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
}
