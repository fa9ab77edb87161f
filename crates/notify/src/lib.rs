//! What deserves a user's attention: push rules, unread counts, pushers.
//!
//! Counts are not stored. They follow from the timeline, the receipts and the rules, and are kept
//! in memory per user and room as far as they were computed; only users who sync cost anything.
//!
//! With the setting for it, people subscribe to threads and hear of no others (`threads`).
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
mod threads;

use std::sync::Arc;

use blaupause_accounts::Accounts;
use blaupause_data::{Data, Write};
use blaupause_rooms::Rooms;
use ruma::UserId;

pub use counts::{Count, RoomCounts};
pub use error::NotifyError;
pub use rules::Place as RulePlace;
pub use threads::{SubscriptionChange, SubscriptionChanges, SubscriptionSpan};

use rows::{PusherRow, ThreadSubscriptionLogRow, ThreadSubscriptionRow};

/// What the operator decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Whether people subscribe to threads (MSC4306). Threads that somebody did not subscribe to
    /// are silent then, so it is for sites whose clients know it.
    pub thread_subscriptions: bool,
}

/// Rules, counts and pushers. Cheap to clone.
#[derive(Clone)]
pub struct Notify(Arc<Inner>);

struct Inner {
    data: Data,
    accounts: Accounts,
    rooms: Rooms,
    settings: Settings,
    rulesets: rules::RulesetCache,
    counts: counts::CountCache,
    judged: judge::JudgedCache,
    contexts: context::ContextCache,
}

impl Notify {
    /// The domain over those that it reads from, as it is by default.
    pub fn new(data: Data, accounts: Accounts, rooms: Rooms) -> Self {
        Self::with(data, accounts, rooms, Settings::default())
    }

    /// The domain over those that it reads from.
    pub fn with(data: Data, accounts: Accounts, rooms: Rooms, settings: Settings) -> Self {
        let notify = Self(Arc::new(Inner {
            rulesets: rules::RulesetCache::new(),
            counts: counts::CountCache::new(),
            judged: judge::JudgedCache::new(),
            contexts: context::ContextCache::new(),
            data,
            accounts,
            rooms,
            settings,
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

    /// What the operator decided.
    pub fn settings(&self) -> Settings {
        self.0.settings
    }

    /// Remove what is stored about a user: pushers and thread subscriptions. To be called before
    /// the account is closed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_user(&self, user: &UserId) -> Result<(), NotifyError> {
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        write.del_prefix::<PusherRow>(part, &());
        write.del_prefix::<ThreadSubscriptionRow>(part, &());
        write.del_prefix::<ThreadSubscriptionLogRow>(part, &());
        self.data().commit(write).await?;
        Ok(())
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
