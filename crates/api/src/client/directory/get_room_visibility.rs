//! `GET /_matrix/client/v3/directory/list/room/{roomId}`

use ruma::api::client::{
    directory::get_room_visibility::v3::{Request, Response},
    room::Visibility,
};

use crate::{ApiError, App, Call};

pub(crate) async fn get_room_visibility(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let published = app.rooms.is_published(&call.body.room_id).await?;
    Ok(Response::new(if published { Visibility::Public } else { Visibility::Private }))
}
