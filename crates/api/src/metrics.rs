//! How many requests, how answered, how fast.

use axum::{
    body::Body,
    extract::{MatchedPath, State},
    middleware::Next,
    response::Response,
};
use http::{Method, Request};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::App;

/// Upper ends of the duration buckets, in seconds. Long polls end up in the last ones.
const SECONDS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    path: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PathLabels {
    method: &'static str,
    path: String,
}

/// Counters of the HTTP side. Paths are routes, not what was asked, so their number is bounded.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<Labels, Counter>,
    seconds: Family<PathLabels, Histogram>,
}

impl HttpMetrics {
    /// Counters that are part of a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let requests = Family::<Labels, Counter>::default();
        let seconds =
            Family::<PathLabels, Histogram>::new_with_constructor(|| Histogram::new(SECONDS));
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_seconds", "Time until the answer", seconds.clone());
        Self { requests, seconds }
    }
}

#[expect(clippy::disallowed_methods, reason = "durations are measured by the monotonic clock")]
pub(crate) async fn observe(
    State(app): State<App>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let started = std::time::Instant::now();
    let method = known(request.method());
    let path =
        request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let labels = PathLabels { method, path: path.clone() };
    app.metrics.seconds.get_or_create(&labels).observe(started.elapsed().as_secs_f64());
    app.metrics.requests.get_or_create(&Labels { method, path, status }).inc();
    response
}

/// Methods are whatever the client writes: those we do not know are one, so that nobody can make
/// up series without end.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}
