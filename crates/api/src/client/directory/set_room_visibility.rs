//! `PUT /_matrix/client/v3/directory/list/room/{roomId}`

use ruma::api::client::directory::set_room_visibility::v3::{Request, Response};

use crate::{ApiError, App, Call, client::room::is_published};

pub(crate) async fn set_room_visibility(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { room_id, visibility, .. } = call.body;
    let published = is_published(&visibility)?;
    // Whoever may not list a room may still take one off the list.
    if published {
        app.settings.publish_rooms.must_include(&call.who)?;
    }
    let user = &call.who.user_id;
    if call.who.is_admin {
        app.rooms.publish_as_admin(user, &room_id, published).await?;
    } else {
        app.rooms.publish(user, &room_id, published).await?;
    }
    Ok(Response::new())
}
