//! Notifications on their way to push gateways (spec: push gateway API).
//!
//! What is to be delivered is what a user was notified of ([`crate::rows::NotificationRow`]) after
//! the place that a pusher has come to. A row says which users have something to be delivered: it
//! outlives a restart, and is removed when all their pushers have come to the end. A pusher moves
//! on when its gateway has answered; killed in between, it asks again, and the gateway knows the
//! event by its id.
//!
//! A gateway that does not answer is asked again after ever longer pauses. What it could not be
//! told for a day, or what was read meanwhile, is not worth telling.

mod badge;
mod payload;
mod queue;
mod settings;

use std::{ops::Bound, sync::Arc, time::Duration};

use blaupause_data::{DIRECTORY, DataError, Event, Member, Order, Place, ReadSet, Write};
use blaupause_outbound::{Limits, Outbound, OutboundError};
use bytes::Bytes;
use http::Request;
use ruma::{OwnedUserId, UserId, api::client::push::PusherKind, push::HttpPusherData};
use serde::Deserialize;

pub(crate) use badge::BadgeCache;
pub(crate) use queue::Queue;
pub use settings::PushSettings;

use crate::{
    Notify, NotifyError,
    counts::thread_of,
    pushers::KnownPusher,
    rows::{NotificationRow, PushDebtRow, PushState, PushStateRow, StoredNotification},
};

/// What a gateway may take to answer, and how much it may say.
const EXCHANGE: Limits = Limits { time: Duration::from_secs(15), answer_bytes: 64 * 1024 };
/// Users who are served side by side.
const USERS_AT_ONCE: usize = 128;
/// The first pause after a failure, and the longest, in milliseconds.
const PAUSE_MS: u64 = 1_000;
const PAUSE_MS_MAX: u64 = 60 * 60 * 1_000;
/// Notifications older than this are not delivered any more, in milliseconds.
const GIVE_UP_MS: u64 = 24 * 60 * 60 * 1_000;
/// Newest notifications that are delivered to a pusher that is behind: nobody wants to be rung
/// at once for everything that was missed.
const BACKLOG_MAX: u32 = 50;
/// How often a user's pushers are looked at again because something came in between.
const ROUNDS_MAX: usize = 20;

/// What became of one request.
enum Told {
    Taken,
    /// The gateway does not know the push key any more.
    Rejected,
    /// Not now.
    Failed,
    /// Never: the gateway may not be asked.
    Refused,
}

/// Something to tell a gateway.
pub(crate) struct Message<'a> {
    pub pusher: &'a KnownPusher,
    pub gateway: &'a HttpPusherData,
    pub event: Option<(&'a StoredNotification, &'a Event)>,
    pub badge: Option<u64>,
}

impl Notify {
    /// Deliver notifications until the server stops.
    pub async fn run_gateway(&self, outbound: Outbound) {
        let stop = self.data().env().stop().clone();
        let turns = Arc::new(tokio::sync::Semaphore::new(USERS_AT_ONCE));
        loop {
            match self.load_debts().await {
                Ok(()) => break,
                Err(error) => tracing::warn!(%error, "push notifications wait for the database"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(PAUSE_MS)) => {}
            }
        }
        loop {
            let now = self.data().env().now_millis();
            let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
            match self.0.queue.take(now) {
                Ok(user) => {
                    let (notify, outbound) = (self.clone(), outbound.clone());
                    drop(self.data().env().spawn(async move {
                        notify.deliver_for(user, &outbound).await;
                        drop(turn);
                    }));
                }
                Err(next) => {
                    drop(turn);
                    let pause = next.map_or(PAUSE_MS_MAX, |next| next.saturating_sub(now).max(1));
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = self.0.queue.news() => {}
                        () = tokio::time::sleep(Duration::from_millis(pause)) => {}
                    }
                }
            }
        }
    }

    /// Deliver what is due now, one user after the other; says when the next one is due.
    pub async fn deliver_due(&self, outbound: &Outbound) -> Option<u64> {
        loop {
            match self.0.queue.take(self.data().env().now_millis()) {
                Ok(user) => self.deliver_for(user, outbound).await,
                Err(next) => return next,
            }
        }
    }

    /// Remember who had pushers, and whose had something to do when the server stopped. To be
    /// called once before [`Notify::deliver_due`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn load_debts(&self) -> Result<(), NotifyError> {
        self.load_pusher_index().await?;
        let debts = self.data().list_all::<PushDebtRow>(DIRECTORY, &(), u32::MAX).await?;
        for (_, user) in debts.rows {
            self.0.queue.push(user.value, 0);
        }
        Ok(())
    }

    async fn deliver_for(&self, user: OwnedUserId, outbound: &Outbound) {
        let stop = self.data().env().stop().clone();
        let delivered = tokio::select! {
            () = stop.cancelled() => Ok(None),
            delivered = self.deliver(&user, outbound) => delivered,
        };
        let next = delivered.unwrap_or_else(|error| {
            tracing::warn!(%error, "push notifications of a user were not delivered");
            Some(self.data().env().now_millis() + PAUSE_MS)
        });
        self.0.queue.done(user, next);
    }

    /// Serve the pushers of a user to the end; says when to try again, if one could not be served.
    async fn deliver(
        &self,
        user: &UserId,
        outbound: &Outbound,
    ) -> Result<Option<u64>, NotifyError> {
        let part = self.data().parts().user(user);
        for _ in 0..ROUNDS_MAX {
            let Some(debt) = self.data().get::<PushDebtRow>(DIRECTORY, &part).await? else {
                return Ok(None);
            };
            // Whoever is locked out is not told either. It is not forgotten: the debt stays.
            if self.accounts().account(user).await?.is_some_and(|account| account.locked) {
                return Ok(None);
            }
            let mut again: Option<u64> = None;
            for pusher in self.known_pushers(user).await? {
                let next = self.serve(user, &pusher, outbound).await?;
                again = [again, next].into_iter().flatten().min();
            }
            if again.is_some() {
                return Ok(again);
            }
            let mut write = Write::new(DIRECTORY);
            write.require_version::<PushDebtRow>(DIRECTORY, &part, debt.version);
            write.del::<PushDebtRow>(DIRECTORY, &part);
            match self.data().commit(write).await {
                // Something came in between.
                Err(DataError::Conflict { .. }) => {}
                done => return Ok(done.map(|_| None)?),
            }
        }
        Ok(Some(self.data().env().now_millis() + PAUSE_MS))
    }

    /// Tell a pusher everything that is new; says when to try again, if that did not work.
    async fn serve(
        &self,
        user: &UserId,
        pusher: &KnownPusher,
        outbound: &Outbound,
    ) -> Result<Option<u64>, NotifyError> {
        let PusherKind::Http(gateway) = &pusher.pusher.kind else { return Ok(None) };
        let now = self.data().env().now_millis();
        if let Some(not_before) = self.0.queue.pause_of(user, &pusher.key).filter(|at| *at > now) {
            return Ok(Some(not_before));
        }
        let Some((mut state, fresh)) = self.what_is_new(user, pusher).await? else {
            return Ok(None);
        };
        let has_badge = !payload::disables_badge(gateway);
        let badge = if has_badge { Some(self.badge(user).await?) } else { None };
        let mut has_told = false;
        for (place, notification, event) in &fresh {
            state.upto = *place;
            if !pusher.stored.enabled || !self.is_worth_it(user, notification, event).await? {
                continue;
            }
            let event = Some((notification, &**event));
            let message = Message { pusher, gateway, event, badge };
            if let Some(done) = self.tell(user, &message, outbound).await? {
                return Ok(done);
            }
            (state.badge, has_told) = (badge, true);
            self.store_state(user, pusher, state).await?;
        }
        let news = badge.filter(|badge| Some(*badge) != state.badge && state.badge.is_some());
        if pusher.stored.enabled && !has_told && news.is_some() {
            let message = Message { pusher, gateway, event: None, badge };
            if let Some(done) = self.tell(user, &message, outbound).await? {
                return Ok(done);
            }
            state.badge = badge;
        }
        self.store_state(user, pusher, state).await?;
        Ok(None)
    }

    /// One request. `None`: go on; otherwise the pusher is left, and when it is tried again.
    async fn tell(
        &self,
        user: &UserId,
        message: &Message<'_>,
        outbound: &Outbound,
    ) -> Result<Option<Option<u64>>, NotifyError> {
        let key = &message.pusher.key;
        match self.ask_gateway(message, outbound).await? {
            Told::Taken | Told::Refused => {
                self.0.queue.forget_pause(user, key);
                Ok(None)
            }
            Told::Rejected => {
                tracing::debug!(%user, "a push gateway rejected a push key");
                self.0.queue.forget_pause(user, key);
                self.delete_pusher(user, &message.pusher.pusher.ids).await?;
                Ok(Some(None))
            }
            Told::Failed => {
                let now = self.data().env().now_millis();
                Ok(Some(Some(self.0.queue.pause(user, key, now, (PAUSE_MS, PAUSE_MS_MAX)))))
            }
        }
    }

    async fn ask_gateway(
        &self,
        message: &Message<'_>,
        outbound: &Outbound,
    ) -> Result<Told, NotifyError> {
        #[derive(Deserialize)]
        struct Answer {
            rejected: Vec<String>,
        }
        let Some(reach) = self.settings().push.reach(&message.gateway.url) else {
            return Ok(Told::Refused);
        };
        let body = self.payload(message).await?.to_string();
        let request = Request::post(&message.gateway.url)
            .header("content-type", "application/json")
            .body(Bytes::from(body));
        let Ok(request) = request else { return Ok(Told::Refused) };
        let answer = match outbound.send(request, reach, EXCHANGE).await {
            Ok(answer) => answer,
            // It was told, and says more than anybody wants to know.
            Err(OutboundError::TooLarge) => return Ok(Told::Taken),
            Err(OutboundError::Refused(reason) | OutboundError::BadRequest(reason)) => {
                tracing::debug!(%reason, "a push gateway may not be asked");
                return Ok(Told::Refused);
            }
            Err(error) => {
                tracing::debug!(%error, "a push gateway did not answer");
                return Ok(Told::Failed);
            }
        };
        if !answer.status().is_success() {
            tracing::debug!(status = %answer.status(), "a push gateway did not take a notification");
            return Ok(Told::Failed);
        }
        let rejected = serde_json::from_slice::<Answer>(answer.body()).map(|it| it.rejected);
        let is_rejected = rejected.is_ok_and(|keys| keys.contains(&message.pusher.key.1));
        Ok(if is_rejected { Told::Rejected } else { Told::Taken })
    }

    /// Notifications behind the place where a pusher is, oldest first; `None` if the pusher has
    /// been removed meanwhile.
    async fn what_is_new(
        &self,
        user: &UserId,
        pusher: &KnownPusher,
    ) -> Result<Option<(PushState, Vec<Fresh>)>, NotifyError> {
        let part = self.data().parts().user(user);
        let state = self.data().get::<PushStateRow>(part, &pusher.key).await?;
        let Some(mut state) = state.map(|state| state.value) else { return Ok(None) };
        let mut want = ReadSet::new();
        let rows = want.range::<NotificationRow>(
            part,
            Bound::Excluded(&state.upto),
            Bound::<&Place>::Unbounded,
            Order::Backward,
            BACKLOG_MAX,
        );
        let mut rows = want.run(self.data()).await?.many(rows)?.rows;
        rows.reverse();
        if let Some((newest, _)) = rows.last()
            && !pusher.stored.enabled
        {
            // What happened while it was off is not made up for.
            state.upto = *newest;
            rows.clear();
        }
        let parts = self.data().parts();
        let numbers: Vec<_> =
            rows.iter().map(|(_, row)| (parts.room(&row.room_id), row.no)).collect();
        let events = self.data().events(&numbers).await?;
        let fresh = rows.into_iter().zip(events);
        let fresh = fresh.filter_map(|((place, row), event)| Some((place, row.value, event?)));
        Ok(Some((state, fresh.collect())))
    }

    /// Whether a notification is still news.
    async fn is_worth_it(
        &self,
        user: &UserId,
        notification: &StoredNotification,
        event: &Event,
    ) -> Result<bool, NotifyError> {
        let now = self.data().env().now_millis();
        if notification.at_ms.saturating_add(GIVE_UP_MS) <= now
            || event.stored.redacted_by.is_some()
        {
            return Ok(false);
        }
        // An invitation is no room of the user's yet: there is nothing to be read in it.
        if event.state_key.as_deref() == Some(user.as_str()) {
            let membership = self.data().membership(user, &notification.room_id).await?;
            return Ok(membership.is_some_and(|row| row.membership == Member::Invite));
        }
        let read = self.rooms().read_up_to(user, &notification.room_id).await?;
        Ok(!is_read(&read, event))
    }

    async fn store_state(
        &self,
        user: &UserId,
        pusher: &KnownPusher,
        state: PushState,
    ) -> Result<(), NotifyError> {
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        write.put::<PushStateRow>(part, &pusher.key, &state);
        self.data().commit(write).await?;
        Ok(())
    }
}

/// A notification to be delivered.
type Fresh = (Place, StoredNotification, Arc<Event>);

/// Whether somebody has read an event, in its thread or outside of threads.
pub(crate) fn is_read(read: &blaupause_rooms::ReadUpTo, event: &Event) -> bool {
    let upto = match thread_of(event) {
        Some(root) => read.threads.get(&root).copied().unwrap_or(read.everywhere),
        None => read.main,
    };
    event.place.is_some_and(|place| place <= upto)
}
