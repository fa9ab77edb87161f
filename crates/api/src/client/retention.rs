//! How long messages are kept (MSC1763).

mod get_retention_configuration;

use axum::Router;
use http::Method;

use crate::{App, asked::ServeAsked};

const PATH: &str = "/_matrix/client/unstable/org.matrix.msc1763/retention/configuration";

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve_asked(Method::GET, PATH, get_retention_configuration::get_retention_configuration)
}
