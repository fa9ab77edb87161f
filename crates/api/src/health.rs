//! Is it alive, is it ready, how is it doing: on a listener of its own.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Router, response::IntoResponse, routing::get};
use http::{StatusCode, header};
use prometheus_client::{encoding::text::encode, registry::Registry};

/// Whether requests are welcome. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<AtomicBool>);

impl Health {
    /// From now on (not) ready.
    pub fn set_ready(&self, ready: bool) {
        self.0.store(ready, Ordering::SeqCst);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// `/health/live`, `/health/ready` and `/metrics` (Prometheus text format).
pub fn health_router(health: Health, registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route(
            "/health/ready",
            get(move || async move {
                if health.is_ready() {
                    (StatusCode::OK, "ready\n")
                } else {
                    (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
                }
            }),
        )
        .route(
            "/metrics",
            get(move || async move {
                let mut text = String::new();
                if encode(&mut text, &registry).is_err() {
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                }
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                ([(header::CONTENT_TYPE, kind)], text).into_response()
            }),
        )
}
