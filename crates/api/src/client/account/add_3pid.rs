//! `POST /_matrix/client/v3/account/3pid/add`

use blaupause_accounts::ProofPurpose;
use ruma::api::client::account::add_3pid::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn add_3pid(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    call.who.must_be_person()?;
    let (sid, secret) = (call.body.sid.as_str(), call.body.client_secret.as_str());
    // Looked at first: nobody types their password for an address that was not confirmed.
    let proved = app.accounts.proved_address(&ProofPurpose::Account, sid, secret).await?;
    app.prove_identity(&call, call.body.auth.as_ref()).await?;
    app.accounts.add_address(&call.who.user_id, &proved).await?;
    Ok(Response::new())
}
