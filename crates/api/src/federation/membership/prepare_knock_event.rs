//! `GET /_matrix/federation/v1/make_knock/{roomId}/{userId}`

use blaupause_rooms::Handshake;
use ruma::api::federation::membership::prepare_knock_event::v1::{Request, Response};

use super::template_query;
use crate::{ApiError, App, Call};

pub(super) async fn prepare_knock_event(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { room_id, user_id, ver, .. } = call.body;
    let query = template_query(&call.who, room_id, user_id, Some(ver));
    let template = app.rooms.member_template(Handshake::Knock, &query).await?;
    Ok(Response::new(template.version, template.event))
}
