//! Questions of other servers about names here.

mod get_profile_information;
mod get_room_information;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(get_profile_information::get_profile_information)
        .serve(get_room_information::get_room_information)
}
