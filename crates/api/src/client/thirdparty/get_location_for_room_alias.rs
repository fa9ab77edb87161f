//! `GET /_matrix/client/v3/thirdparty/location`

use ruma::api::client::thirdparty::get_location_for_room_alias::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_location_for_room_alias(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    Ok(Response::new(app.services.locations_of(&call.body.alias).await))
}
