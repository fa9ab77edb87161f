//! `PUT /_matrix/federation/v1/exchange_third_party_invite/{roomId}`

use blaupause_rooms::RoomsError;
use ruma::api::federation::thirdparty::exchange_invite::v1::{Request, Response};

use crate::{ApiError, App, Call};

/// Nobody here invites by mail or phone, so there is nothing to be exchanged.
pub(super) async fn exchange_invite(_: App, _: Call<Request>) -> Result<Response, ApiError> {
    Err(RoomsError::ThirdPartyInvite.into())
}
