//! `POST /_matrix/client/v3/publicRooms`

use ruma::api::client::directory::get_public_rooms_filtered::v3::{Request, Response};

use super::{page, with_join_rules};
use crate::{ApiError, App, Call, routes::Answer};

pub(crate) async fn get_public_rooms_filtered(
    app: App,
    call: Call<Request>,
) -> Result<Answer<Response>, ApiError> {
    let Request { server, limit, since, filter, room_network, .. } = call.body;
    let mut response = Response::new();
    let found = page(&app, server.as_deref(), limit, since, filter, &room_network).await?;
    response.chunk = found.rooms;
    response.next_batch = found.next;
    response.prev_batch = found.previous;
    response.total_room_count_estimate = u32::try_from(found.total).ok().map(Into::into);
    Ok(Answer::Other(with_join_rules(response)?))
}
