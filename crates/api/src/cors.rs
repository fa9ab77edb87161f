//! Web clients come from other origins (spec: client-server API, "Web Browser Clients").

use http::{HeaderName, Method, header};
use tower_http::cors::{Any, CorsLayer};

pub(crate) fn layer() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
            Method::PATCH,
        ])
        .allow_headers([
            header::ORIGIN,
            HeaderName::from_static("x-requested-with"),
            header::CONTENT_TYPE,
            header::ACCEPT,
            header::AUTHORIZATION,
            header::DATE,
        ])
        .max_age(std::time::Duration::from_secs(86_400))
}
