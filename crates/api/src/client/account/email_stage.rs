//! The stage `m.login.email.identity` (spec: client-server API, "Email-based (identity /
//! homeserver)"): a session in which an address was proved, and its secret.

use std::collections::HashMap;

use blaupause_accounts::{AccountsError, ProofPurpose};
use ruma::api::client::uiaa::{AuthType, EmailIdentity};

use crate::{
    ApiError, App,
    uia::{Asked, Proved, Stage},
};

/// Under which names the accepted session is remembered.
const SID: &str = "email_sid";
const CLIENT_SECRET: &str = "email_client_secret";

/// The stage, if the address was proved for this purpose.
pub(super) async fn email_stage(
    app: &App,
    asked: Asked<'_>,
    purpose: &ProofPurpose,
    shown: &EmailIdentity,
) -> Result<Stage, ApiError> {
    let (sid, secret) = (&shown.thirdparty_id_creds.sid, &shown.thirdparty_id_creds.client_secret);
    match app.accounts.proved_address(purpose, sid.as_str(), secret.as_str()).await {
        Ok(_) => {}
        // Clients ask again and again until the person has followed the link.
        Err(AccountsError::AddressUnproved) => {
            let refused = app.uia.refuse(asked, "the mail address has not been confirmed yet");
            return Err(refused.with("errcode", "M_UNAUTHORIZED"));
        }
        Err(error) => return Err(error.into()),
    }
    let facts = [(SID, sid.to_string()), (CLIENT_SECRET, secret.to_string())];
    Ok(Stage { kind: AuthType::EmailIdentity, facts: HashMap::from(facts) })
}

/// The session and its secret, if the flow had the stage.
pub(super) fn email_session(proved: &mut Proved) -> Option<(String, String)> {
    Some((proved.facts.remove(SID)?, proved.facts.remove(CLIENT_SECRET)?))
}
