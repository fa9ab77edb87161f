//! `POST /_matrix/client/v1/appservice/{appserviceId}/ping`

use ruma::api::client::appservice::request_ping::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn request_ping(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    if call.who.id() != call.body.appservice_id {
        return Err(ApiError::forbidden("this is another application service"));
    }
    let transaction = call.body.transaction_id.as_ref().map(|id| id.as_str());
    Ok(Response::new(app.services.ping(&call.who, transaction).await?))
}
