//! Pages on which a person does a stage of user-interactive authentication that their client does
//! not know (spec: client-server API, "Fallback").

mod get_uiaa_fallback_page;

use axum::Router;
use http::Method;

use crate::{App, Serve};

pub(crate) use get_uiaa_fallback_page::done_page;

pub(crate) fn routes(mut router: Router<App>) -> Router<App> {
    use get_uiaa_fallback_page::{get_uiaa_fallback_page, post_uiaa_fallback_page};
    for version in ["r0", "v3"] {
        let path = format!("/_matrix/client/{version}/auth/{{auth_type}}/fallback/web");
        router = router.serve_raw(Method::GET, &path, get_uiaa_fallback_page).serve_raw(
            Method::POST,
            &path,
            post_uiaa_fallback_page,
        );
    }
    router
}
