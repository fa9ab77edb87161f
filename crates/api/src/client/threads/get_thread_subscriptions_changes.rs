//! `GET /_matrix/client/unstable/io.element.msc4308/thread_subscriptions`

use blaupause_notify::SubscriptionSpan;
use ruma::{
    UInt,
    api::client::threads::get_thread_subscriptions_changes::unstable::{
        Request, Response, ThreadSubscription, ThreadUnsubscription,
    },
};

use super::must_be_on;
use crate::{ApiError, App, Call};

/// Changes that are given when the client does not say how many.
const LIMIT_DEFAULT: usize = 100;

pub(crate) async fn get_thread_subscriptions_changes(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    must_be_on(&app)?;
    let Request { from, to, limit, .. } = &call.body;
    let limit = limit.map_or(LIMIT_DEFAULT, |limit| limit.try_into().unwrap_or(usize::MAX));
    if limit == 0 {
        return Err(ApiError::invalid_param("limit must be greater than 0"));
    }
    let newest = SubscriptionSpan { upto: app.data.position(), after: None };
    let mut span = match from {
        None => newest,
        Some(from) => SubscriptionSpan::parse(from)
            .ok_or_else(|| ApiError::invalid_param("from is not a token of this endpoint"))?,
    };
    // The position of a sliding sync says nothing here: the token that sliding sync gave for `from`
    // knows where to end.
    if let Some(to) = to.as_deref().and_then(SubscriptionSpan::parse) {
        span.after = span.after.max(Some(to.upto));
    }
    let found = app.notify.subscription_changes(&call.who.user_id, span, limit).await?;
    let mut response = Response::new();
    response.end = found.next.map(|next| next.to_string());
    for change in found.changes {
        let bump_stamp = UInt::new_saturating(change.pos.0);
        match change.automatic {
            Some(automatic) => {
                let room = response.subscribed.entry(change.room).or_default();
                room.insert(change.root, ThreadSubscription::new(automatic, bump_stamp));
            }
            None => {
                let room = response.unsubscribed.entry(change.room).or_default();
                room.insert(change.root, unsubscription(bump_stamp)?);
            }
        }
    }
    Ok(response)
}

/// ruma's type has no constructor.
fn unsubscription(bump_stamp: UInt) -> Result<ThreadUnsubscription, ApiError> {
    let json = serde_json::json!({ "bump_stamp": bump_stamp });
    serde_json::from_value(json).map_err(|error| ApiError::internal(&error))
}
