//! `POST /_matrix/federation/v1/publicRooms`

use ruma::api::federation::directory::get_public_rooms_filtered::v1::{Request, Response};

use super::{must_be_open, total};
use crate::{ApiError, App, Call, client::directory::own_page};

pub(crate) async fn get_public_rooms_filtered(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    must_be_open(&app)?;
    let Request { limit, since, filter, room_network, .. } = call.body;
    let found = own_page(&app, limit, since, filter, &room_network).await?;
    let mut response = Response::new();
    response.total_room_count_estimate = total(&found);
    response.chunk = found.rooms;
    response.next_batch = found.next;
    response.prev_batch = found.previous;
    Ok(response)
}
