//! `/_matrix/client/v1/admin/suspend/{userId}` and `/_matrix/client/v1/admin/lock/{userId}`

use blaupause_accounts::AccountInfo;
use ruma::{
    UserId,
    api::client::admin::{
        is_user_locked::v1 as is_locked, is_user_suspended::v1 as is_suspended,
        lock_user::v1 as lock, suspend_user::v1 as suspend,
    },
};

use crate::{ApiError, App, Call, User};

pub(crate) async fn is_user_suspended(
    app: App,
    call: Call<is_suspended::Request>,
) -> Result<is_suspended::Response, ApiError> {
    let account = target(&app, &call.who, &call.body.user_id).await?;
    Ok(is_suspended::Response::new(account.suspended))
}

pub(crate) async fn suspend_user(
    app: App,
    call: Call<suspend::Request>,
) -> Result<suspend::Response, ApiError> {
    let account = target(&app, &call.who, &call.body.user_id).await?;
    app.accounts.set_suspended(&account.user_id, call.body.suspended).await?;
    Ok(suspend::Response::new(call.body.suspended))
}

pub(crate) async fn is_user_locked(
    app: App,
    call: Call<is_locked::Request>,
) -> Result<is_locked::Response, ApiError> {
    let account = target(&app, &call.who, &call.body.user_id).await?;
    Ok(is_locked::Response::new(account.locked))
}

pub(crate) async fn lock_user(
    app: App,
    call: Call<lock::Request>,
) -> Result<lock::Response, ApiError> {
    let account = target(&app, &call.who, &call.body.user_id).await?;
    app.accounts.set_locked(&account.user_id, call.body.locked).await?;
    Ok(lock::Response::new(call.body.locked))
}

/// The account of somebody whom this caller may suspend and lock. Whether the caller may is said
/// before anything is looked up: who may not learns nothing about who has an account.
async fn target(app: &App, who: &User, user: &UserId) -> Result<AccountInfo, ApiError> {
    who.must_be_admin()?;
    if !app.is_local(user) {
        return Err(ApiError::invalid_param("this user does not belong to this server"));
    }
    if who.user_id == user {
        return Err(ApiError::forbidden("administrators cannot do this to themselves"));
    }
    let account = app.accounts.account(user).await?;
    let account = account.filter(|account| !account.deactivated);
    let account = account.ok_or_else(|| ApiError::not_found("unknown user"))?;
    if account.admin {
        return Err(ApiError::forbidden("administrators cannot do this to each other"));
    }
    Ok(account)
}
