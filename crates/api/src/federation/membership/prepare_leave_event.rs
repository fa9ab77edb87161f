//! `GET /_matrix/federation/v1/make_leave/{roomId}/{userId}`

use blaupause_rooms::Handshake;
use ruma::api::federation::membership::prepare_leave_event::v1::{Request, Response};

use super::template_query;
use crate::{ApiError, App, Call};

pub(super) async fn prepare_leave_event(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { room_id, user_id, .. } = call.body;
    let query = template_query(&call.who, room_id, user_id, None);
    let template = app.rooms.member_template(Handshake::Leave, &query).await?;
    Ok(Response::new(Some(template.version), template.event))
}
