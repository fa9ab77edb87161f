//! `GET /_matrix/client/v3/notifications`

use blaupause_data::Place;
use blaupause_notify::NotificationsWanted;
use ruma::{
    MilliSecondsSinceUnixEpoch, UInt,
    api::client::push::get_notifications::v3::{Notification, Request, Response},
    serde::Raw,
};

use crate::{ApiError, App, Call};

/// Notifications of one page, unless the client says how many, and at most.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

pub(crate) async fn get_notifications(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let (user, device) = (&call.who.user_id, call.who.device_id.as_deref());
    let Request { from, limit, only, .. } = &call.body;
    let before = from.as_deref().filter(|from| !from.is_empty());
    let before = before
        .map(|from| {
            Place::from_token(from)
                .ok_or_else(|| ApiError::invalid_param("from is no token of this endpoint"))
        })
        .transpose()?;
    let limit = limit.map_or(LIMIT_DEFAULT, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    // Other filters than this one are not known, and filter nothing.
    let only_highlights = only.as_deref() == Some("highlight");
    let limit = limit.clamp(1, LIMIT_MAX);
    let wanted = NotificationsWanted { before, limit, only_highlights };
    let page = app.notify.notifications(user, device, wanted).await?;
    let mut notifications = Vec::new();
    for noted in page.notifications {
        notifications.push(Notification::new(
            serde_json::from_str(&noted.actions).map_err(|error| ApiError::internal(&error))?,
            Raw::from_json(noted.event),
            noted.read,
            noted.room,
            MilliSecondsSinceUnixEpoch(UInt::new_saturating(noted.at_ms)),
        ));
    }
    let mut response = Response::new(notifications);
    response.next_token = page.next.map(Place::to_token);
    Ok(response)
}
