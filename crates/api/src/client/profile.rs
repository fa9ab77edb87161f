//! Profiles. The endpoints for single fields serve `displayname` and `avatar_url` as well: ruma's
//! types of their own differ from them only in what they let through.

mod delete_profile_field;
mod get_profile;
mod get_profile_field;
mod set_profile_field;

use axum::Router;
use blaupause_accounts::Profile;
use ruma::UserId;

use crate::{ApiError, App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(delete_profile_field::delete_profile_field)
        .serve(get_profile::get_profile)
        .serve(get_profile_field::get_profile_field)
        .serve(set_profile_field::set_profile_field)
}

/// The profile of somebody here. Other servers are not asked yet.
async fn profile_of(app: &App, user: &UserId) -> Result<Profile, ApiError> {
    let profile = app.accounts.profile(user).await?;
    profile.ok_or_else(|| ApiError::not_found("there is no such profile"))
}
