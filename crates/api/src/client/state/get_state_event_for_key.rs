//! `GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`

use ruma::api::client::state::get_state_event_for_key::v3::{Request, Response, StateEventFormat};

use crate::{ApiError, App, Call, client::access::access};

pub(crate) async fn get_state_event_for_key(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { room_id, event_type, state_key, format, .. } = call.body;
    let whole = match format {
        StateEventFormat::Content => false,
        StateEventFormat::Event => true,
        _ => return Err(ApiError::invalid_param("format must be content or event")),
    };
    let access = access(&app, &call.who, &room_id).await?;
    Ok(Response::new(if whole {
        access.state_event_json(&event_type, &state_key).await?
    } else {
        access.state_event(&event_type, &state_key).await?.content().to_owned()
    }))
}
