//! `GET /_matrix/client/v3/thirdparty/location/{protocol}`

use ruma::api::client::thirdparty::get_location_for_protocol::v3::{Request, Response};

use super::fields;
use crate::{ApiError, App, Call};

pub(crate) async fn get_location_for_protocol(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { protocol, fields: query, .. } = &call.body;
    let fields = fields(query)?;
    Ok(Response::new(app.services.locations(protocol, &fields).await))
}
