//! `GET /_matrix/federation/v1/publicRooms`

use ruma::{
    api::federation::directory::get_public_rooms::v1::{Request, Response},
    directory::Filter,
};

use super::{must_be_open, total};
use crate::{ApiError, App, Call, client::directory::own_page};

pub(crate) async fn get_public_rooms(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    must_be_open(&app)?;
    let Request { limit, since, room_network, .. } = call.body;
    let found = own_page(&app, limit, since, Filter::default(), &room_network).await?;
    let mut response = Response::new();
    response.total_room_count_estimate = total(&found);
    response.chunk = found.rooms;
    response.next_batch = found.next;
    response.prev_batch = found.previous;
    Ok(response)
}
