//! Web clients come from other origins (spec: client-server API, "Web Browser Clients").

use http::{HeaderName, Method, header};
use tower_http::cors::{Any, CorsLayer};

use crate::REQUEST_ID;

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
            // For signing in by a QR code (MSC4108), with the ETag below.
            header::IF_MATCH,
            header::IF_NONE_MATCH,
        ])
        // For reports of failures, and for waiting as long as it is asked.
        .expose_headers([REQUEST_ID, header::RETRY_AFTER, header::ETAG])
        .max_age(std::time::Duration::from_secs(86_400))
}
