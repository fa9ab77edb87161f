//! `POST /_matrix/client/v3/account/3pid/delete`

use ruma::api::client::account::{
    ThirdPartyIdRemovalStatus,
    delete_3pid::v3::{Request, Response},
};

use crate::{ApiError, App, Call};

/// There is nothing to delete, which is what the caller wants.
pub(crate) async fn delete_3pid(_: App, _: Call<Request>) -> Result<Response, ApiError> {
    Ok(Response::new(ThirdPartyIdRemovalStatus::NoSupport))
}
