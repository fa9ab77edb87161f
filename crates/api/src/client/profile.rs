//! Profiles. The endpoints for single fields serve `displayname` and `avatar_url` as well: ruma's
//! types of their own differ from them only in what they let through.

mod delete_profile_field;
mod get_profile;
mod get_profile_field;
mod set_profile_field;
mod set_profile_fields;

use axum::Router;
use blaupause_accounts::Profile;
use blaupause_federation::FederationError;
use http::Method;
use ruma::{UserId, profile::UserProfile};

use crate::{ApiError, App, Serve, asked::ServeAsked};

/// Many fields at once; not part of what became stable (MSC4133).
const WHOLE: &str = "/_matrix/client/unstable/uk.tcpip.msc4133/profile/{user_id}";

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(delete_profile_field::delete_profile_field)
        .serve(get_profile::get_profile)
        .serve(get_profile_field::get_profile_field)
        .serve(set_profile_field::set_profile_field)
        .serve_asked(Method::PATCH, WHOLE, set_profile_fields::change_profile)
        .serve_asked(Method::PUT, WHOLE, set_profile_fields::replace_profile)
}

/// The profile of somebody, here or on another server.
async fn profile_of(app: &App, user: &UserId) -> Result<UserProfile, ApiError> {
    let unknown = || ApiError::not_found("there is no such profile");
    if !app.is_local(user) {
        return match app.federation.profile(user).await {
            // Of servers that this one does not speak with nobody is known.
            Err(FederationError::Off | FederationError::Denied(_)) => Err(unknown()),
            profile => profile?.ok_or_else(unknown),
        };
    }
    local_profile(app, user).await?.map(|profile| profile.to_ruma()).ok_or_else(unknown)
}

/// The profile of somebody here.
pub(crate) async fn local_profile(app: &App, user: &UserId) -> Result<Option<Profile>, ApiError> {
    let mut profile = app.accounts.profile(user).await?;
    if profile.is_none() && app.services.ask_for_user(user).await {
        profile = app.accounts.profile(user).await?;
    }
    Ok(profile)
}
