//! `PUT /_matrix/federation/v1/3pid/onbind`

use blaupause_rooms::RoomsError;
use ruma::api::federation::thirdparty::bind_callback::v1::{Request, Response};

use crate::{ApiError, App, Call};

/// An identity server says that somebody has bound an address. Nobody here has an invitation that
/// waits for that.
pub(super) async fn bind_callback(_: App, _: Call<Request>) -> Result<Response, ApiError> {
    Err(RoomsError::ThirdPartyInvite.into())
}
