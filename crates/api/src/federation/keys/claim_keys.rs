//! `POST /_matrix/federation/v1/user/keys/claim`

use ruma::api::federation::keys::claim_keys::v1::{Request, Response};

use crate::{ApiError, App, Call, client::keys::claim_here};

pub(crate) async fn claim_keys(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let local = call.body.one_time_keys.into_iter().filter(|(user, _)| app.is_local(user));
    let wanted = local.map(|(user, devices)| {
        let devices = devices.into_iter().map(|(id, kind)| (id, vec![kind.to_string()]));
        (user, devices.collect())
    });
    Ok(Response::new(claim_here(&app, wanted.collect()).await?))
}
