//! `POST /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{deviceId}/events`

use blaupause_data::StreamPos;
use ruma::{
    DeviceId, OwnedDeviceId, UserId,
    api::{
        auth_scheme::AccessToken,
        client::dehydrated_device::get_events::unstable::{Request, Response},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ApiError, App, Call, asked::Asked};

pub(crate) async fn get_events(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { device_id, next_batch, .. } = &call.body;
    events(&app, &call.who.user_id, device_id, next_batch.as_deref()).await
}

/// matrix-js-sdk calls the token `from`.
#[derive(Deserialize)]
struct Query {
    from: Option<String>,
    next_batch: Option<String>,
}

/// As [`get_events`], with the token in the query.
pub(crate) async fn get_events_by_query(
    app: App,
    asked: Asked<AccessToken>,
) -> Result<Value, ApiError> {
    let device: OwnedDeviceId = asked.text("device_id").into();
    let query: Query = asked.query()?;
    let since = query.from.or(query.next_batch);
    let page = events(&app, &asked.who.user_id, &device, since.as_deref()).await?;
    let mut answer = json!({ "events": page.events });
    if let Some(next_batch) = page.next_batch {
        answer["next_batch"] = next_batch.into();
    }
    Ok(answer)
}

/// An answer without messages has no token: matrix-rust-sdk asks until there are no messages,
/// matrix-js-sdk until there is no token.
async fn events(
    app: &App,
    user: &UserId,
    device: &DeviceId,
    since: Option<&str>,
) -> Result<Response, ApiError> {
    let since = match since {
        None => StreamPos(0),
        Some(token) => position(token)
            .ok_or_else(|| ApiError::invalid_param("next_batch was not made by this server"))?,
    };
    let page = app.e2ee.dehydrated_messages(user, device, since).await?;
    let end = page.messages.last().map(|message| message.pos);
    let events = page.messages.into_iter().map(|message| message.event);
    let mut response = Response::new(events.collect());
    response.next_batch = end.map(|end| format!("d{}", end.0));
    Ok(response)
}

fn position(token: &str) -> Option<StreamPos> {
    let digits = token.strip_prefix('d').filter(|digits| digits.len() < 20)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    Some(StreamPos(digits.parse().ok()?))
}
