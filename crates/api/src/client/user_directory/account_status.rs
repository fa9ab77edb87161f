//! `POST /_matrix/client/unstable/org.matrix.msc3720/account_status`

use blaupause_data::try_together;
use ruma::{OwnedUserId, api::auth_scheme::AccessToken};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{ApiError, App, asked::Asked};

/// People that one request asks about.
const USERS_MAX: usize = 100;

#[derive(Deserialize)]
struct Body {
    user_ids: Vec<OwnedUserId>,
}

/// Whether people of this server have accounts, or closed ones. Of people elsewhere nothing is
/// known here. It tells who has an account, so the operator has to want it.
pub(crate) async fn account_status(app: App, asked: Asked<AccessToken>) -> Result<Value, ApiError> {
    if !app.settings.account_status {
        return Err(ApiError::unrecognized());
    }
    let users = asked.body::<Body>()?.user_ids;
    if users.len() > USERS_MAX {
        return Err(ApiError::invalid_param(format!("more than {USERS_MAX} users")));
    }
    let (ours, others): (Vec<_>, Vec<_>) =
        users.into_iter().partition(|user| app.data.is_local(user));
    let accounts = ours.iter().map(|user| app.accounts.account(user));
    let accounts = app.data.in_waves(try_together(accounts)).await?;
    let statuses = ours.iter().zip(accounts).map(|(user, account)| {
        let status = match account {
            Some(account) => json!({ "exists": true, "deactivated": account.deactivated }),
            None => json!({ "exists": false }),
        };
        (user.to_string(), status)
    });
    let statuses: Map<String, Value> = statuses.collect();
    Ok(json!({ "account_statuses": statuses, "failures": others }))
}
