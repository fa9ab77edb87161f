//! Account data.

mod delete_account_data;
mod get_global_account_data;
mod get_room_account_data;
mod set_global_account_data;
mod set_room_account_data;

use axum::Router;
use http::Method;
use ruma::{RoomId, UserId};
use serde_json::value::RawValue;

use crate::{ApiError, App, Serve, asked::ServeAsked};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve_asked(
            Method::DELETE,
            "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}/account_data/{event_type}",
            delete_account_data::delete_global_account_data,
        )
        .serve_asked(
            Method::DELETE,
            "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
            delete_account_data::delete_room_account_data,
        )
        .serve(get_global_account_data::get_global_account_data)
        .serve(get_room_account_data::get_room_account_data)
        .serve(set_global_account_data::set_global_account_data)
        .serve(set_room_account_data::set_room_account_data)
}

/// Push rules are kept by `notify`, which knows the defaults, too.
const PUSH_RULES: &str = "m.push_rules";

async fn account_data(
    app: &App,
    user: &UserId,
    room: Option<&RoomId>,
    kind: &str,
) -> Result<Box<RawValue>, ApiError> {
    if room.is_none() && kind == PUSH_RULES {
        let content = serde_json::json!({ "global": app.notify.ruleset(user).await? });
        return serde_json::value::to_raw_value(&content).map_err(|e| ApiError::internal(&e));
    }
    let found = app.accounts.account_data(user, room, kind).await?;
    found.ok_or_else(|| ApiError::not_found("there is no such account data"))
}

/// Data for a room may be stored by whoever is, was or may come to be in it: made-up rooms would
/// let one person fill the disk.
pub(super) async fn must_know_room(
    app: &App,
    user: &UserId,
    room: &RoomId,
) -> Result<(), ApiError> {
    match app.data.membership(user, room).await? {
        Some(_) => Ok(()),
        None => Err(ApiError::forbidden("you are not in this room")),
    }
}
