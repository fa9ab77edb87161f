//! `PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`

use blaupause_rooms::SendState;
use ruma::api::client::state::send_state_event::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn send_state_event(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let state = SendState {
        room: call.body.room_id,
        sender: call.who.user_id,
        kind: call.body.event_type,
        state_key: call.body.state_key,
        content: call.body.body.into_json(),
        timestamp: None,
    };
    Ok(Response::new(app.rooms.send_state(state).await?))
}
