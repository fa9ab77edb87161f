//! `GET /_matrix/client/v3/account/3pid`

use blaupause_accounts::OwnedAddress;
use ruma::{
    MilliSecondsSinceUnixEpoch, UInt,
    api::client::account::get_3pids::v3::{Request, Response},
    thirdparty::{Medium, ThirdPartyIdentifier, ThirdPartyIdentifierInit},
};

use crate::{ApiError, App, Call};

pub(crate) async fn get_3pids(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let owned = app.accounts.addresses(&call.who.user_id).await?;
    Ok(Response::new(owned.into_iter().map(identifier).collect()))
}

fn identifier(owned: OwnedAddress) -> ThirdPartyIdentifier {
    let time = |ms| MilliSecondsSinceUnixEpoch(UInt::new_saturating(ms));
    ThirdPartyIdentifierInit {
        address: owned.address,
        medium: Medium::from(owned.medium),
        validated_at: time(owned.validated_ms),
        added_at: time(owned.added_ms),
    }
    .into()
}
