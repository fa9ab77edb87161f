//! `POST /_matrix/client/v3/account/3pid/delete`

use ruma::api::client::account::{
    ThirdPartyIdRemovalStatus,
    delete_3pid::v3::{Request, Response},
};

use crate::{ApiError, App, Call};

/// No identity server was ever told about the address. Deleting what is not there is no error.
pub(crate) async fn delete_3pid(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Call { who, body, .. } = call;
    app.accounts.remove_address(&who.user_id, body.medium.as_str(), &body.address).await?;
    Ok(Response::new(ThirdPartyIdRemovalStatus::NoSupport))
}
