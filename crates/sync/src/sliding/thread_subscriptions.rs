//! The extension for thread subscriptions (MSC4308).

use blaupause_notify::SubscriptionSpan;
use ruma::{
    UInt,
    api::client::{
        sync::sync_events::v5::response,
        threads::get_thread_subscriptions_changes::unstable::{
            ThreadSubscription, ThreadUnsubscription,
        },
    },
};
use serde_json::json;

use super::Pass;
use crate::{Sync, SyncError};

/// Changes that are given when the client does not say how many.
const LIMIT_DEFAULT: usize = 100;

impl Sync {
    /// Which threads the user subscribed to or unsubscribed from, the newest changes only. What
    /// does not fit is fetched with the token, which knows where this connection had been.
    pub(super) async fn thread_subscriptions_extension(
        &self,
        pass: &Pass<'_>,
    ) -> Result<response::ThreadSubscriptions, SyncError> {
        let wanted = &pass.request.body.extensions.thread_subscriptions;
        let mut answer = response::ThreadSubscriptions::default();
        if wanted.enabled != Some(true) || !self.notify().settings().thread_subscriptions {
            return Ok(answer);
        }
        let limit =
            wanted.limit.map_or(LIMIT_DEFAULT, |limit| limit.try_into().unwrap_or(usize::MAX));
        let span = SubscriptionSpan { upto: pass.span.until, after: pass.span.since };
        let found = self.notify().subscription_changes(&pass.request.user, span, limit).await?;
        answer.prev_batch = found.next.map(|next| next.to_string());
        for change in found.changes {
            let bump_stamp = UInt::new_saturating(change.pos.0);
            if let Some(automatic) = change.automatic {
                let room = answer.subscribed.entry(change.room).or_default();
                room.insert(change.root, ThreadSubscription::new(automatic, bump_stamp));
            } else if let Ok(ended) = serde_json::from_value::<ThreadUnsubscription>(
                // ruma's type has no constructor.
                json!({ "bump_stamp": bump_stamp }),
            ) {
                answer.unsubscribed.entry(change.room).or_default().insert(change.root, ended);
            }
        }
        Ok(answer)
    }
}
