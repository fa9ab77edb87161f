//! `POST /_matrix/client/v3/account/3pid/unbind`

use ruma::api::client::account::{
    ThirdPartyIdRemovalStatus,
    unbind_3pid::v3::{Request, Response},
};

use crate::{ApiError, App, Call};

/// This server talks to no identity server.
pub(crate) async fn unbind_3pid(_: App, _: Call<Request>) -> Result<Response, ApiError> {
    Ok(Response::new(ThirdPartyIdRemovalStatus::NoSupport))
}
