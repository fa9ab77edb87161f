//! What deserves a user's attention: push rules, unread counts, pushers.
//!
//! Counts are not stored. They follow from the timeline, the receipts and the rules, and are kept
//! in memory per user and room as far as they were computed; only users who sync cost anything.
//!
//! What people are notified of is stored: a follower of the log judges each event by the rules of
//! everybody who is to hear of it (`follow`), push gateways are told of it (`gateway`), and people
//! can look it up (`notifications`).
//!
//! With the setting for it, people subscribe to threads and hear of no others (`threads`).
//!
//! Application services are told what concerns them, and asked (`appservice`).
//!
//! Mail goes through a relay (`mail`), in the background. What is deliberately absent:
//! notifications by mail.
//!
//! Start reading at [`Notify::counts`] and [`Notify::follow`].

mod appservice;
mod audience;
mod context;
mod counts;
mod defaults;
mod error;
mod follow;
mod gateway;
mod judge;
mod mail;
mod notifications;
mod pushers;
pub mod rows;
mod rules;
mod threads;

use std::sync::Arc;

use blaupause_accounts::Accounts;
use blaupause_data::{Data, Write};
use blaupause_rooms::Rooms;
use ruma::UserId;

pub use appservice::{HandedOut, PingFailed, ServicePauses, Services, WantedKeys};
pub use counts::{Count, RoomCounts};
pub use error::NotifyError;
pub use gateway::PushSettings;
pub use mail::{Mail, MailError, MailSettings, MailTls, Mailer};
pub use notifications::{Notification, NotificationPage, NotificationsWanted};
pub use pushers::{OwnPusher, SetPusher};
pub use rules::Place as RulePlace;
pub use threads::{SubscriptionChange, SubscriptionChanges, SubscriptionSpan};

use rows::{NotificationRow, ThreadSubscriptionLogRow, ThreadSubscriptionRow};

/// What the operator decides.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether people subscribe to threads (MSC4306). Threads that somebody did not subscribe to
    /// are silent then, so it is for sites whose clients know it.
    pub thread_subscriptions: bool,
    /// Whether everything encrypted is pushed (MSC4028), so that clients find mentions in it. For
    /// sites whose clients know it: to others much more seems to be unread.
    pub encrypted_events: bool,
    /// Whether names in the text of a message count as mentions, as before v1.17 of the
    /// specification (MSC4210).
    pub legacy_mentions: bool,
    /// Push gateways.
    pub push: PushSettings,
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
    audience: audience::AudienceCache,
    badges: gateway::BadgeCache,
    queue: gateway::Queue,
    with_pushers: pushers::WithPushers,
    noted_today: parking_lot::Mutex<follow::NotedToday>,
    /// The position up to which the follower has judged everything.
    seen: std::sync::atomic::AtomicU64,
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
            audience: audience::AudienceCache::new(),
            badges: gateway::BadgeCache::new(),
            queue: gateway::Queue::default(),
            with_pushers: pushers::WithPushers::default(),
            noted_today: parking_lot::Mutex::default(),
            seen: std::sync::atomic::AtomicU64::new(0),
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
                inner.audience.forget_changed(change);
            }
        }));
        notify
    }

    /// What the operator decided.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Remove what is stored about a user: pushers and thread subscriptions. To be called before
    /// the account is closed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_user(&self, user: &UserId) -> Result<(), NotifyError> {
        self.delete_all_pushers(user).await?;
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        write.del_prefix::<NotificationRow>(part, &());
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
