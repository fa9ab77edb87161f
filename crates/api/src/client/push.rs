//! Push rules and pushers.

mod delete_pushrule;
mod get_notifications;
mod get_pushers;
mod get_pushrule;
mod get_pushrule_actions;
mod get_pushrule_enabled;
mod get_pushrules_all;
mod get_pushrules_global_scope;
mod set_pusher;
mod set_pushrule;
mod set_pushrule_actions;
mod set_pushrule_enabled;

use axum::Router;
use ruma::push::RuleKind;

use crate::{App, Serve};

/// Fields of a pusher: whether it is on, and whose it is (MSC3881).
const ENABLED: &str = "org.matrix.msc3881.enabled";
const DEVICE_ID: &str = "org.matrix.msc3881.device_id";

/// Rules that are tried last have the proposal's short name in the path (MSC4306), too.
fn known(kind: &RuleKind) -> RuleKind {
    match kind.as_str() {
        "postcontent" => RuleKind::PostContent,
        _ => kind.clone(),
    }
}

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(delete_pushrule::delete_pushrule)
        .serve(get_notifications::get_notifications)
        .serve_or(get_pushers::get_pushers)
        .serve(get_pushrule::get_pushrule)
        .serve(get_pushrule_actions::get_pushrule_actions)
        .serve(get_pushrule_enabled::get_pushrule_enabled)
        .serve(get_pushrules_all::get_pushrules_all)
        .serve(get_pushrules_global_scope::get_pushrules_global_scope)
        .serve(set_pusher::set_pusher)
        .serve(set_pushrule::set_pushrule)
        .serve(set_pushrule_actions::set_pushrule_actions)
        .serve(set_pushrule_enabled::set_pushrule_enabled)
}
