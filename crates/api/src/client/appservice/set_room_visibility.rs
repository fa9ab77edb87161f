//! `PUT /_matrix/client/v3/directory/list/appservice/{networkId}/{roomId}`

use ruma::api::client::appservice::set_room_visibility::v3::{Request, Response};

use crate::{ApiError, App, Call, client::room::is_published};

pub(crate) async fn set_room_visibility(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { network_id, room_id, visibility, .. } = call.body;
    let published = is_published(&visibility)?;
    app.rooms.publish_on_network(call.who.id(), &network_id, &room_id, published).await?;
    Ok(Response::new())
}
