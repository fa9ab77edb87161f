//! The operators' listener: `/metrics` for Prometheus, `/health/live` and `/health/ready`.

mod app_services;
mod log;
mod process;
mod store;

use std::{
    convert::Infallible,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use blaupause_data::Data;
use blaupause_notify::Services;
use blaupause_store::{Db, Health};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use parking_lot::Mutex;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// What the server tells about itself. Cheap to clone.
#[derive(Clone)]
pub struct Telling {
    registry: Arc<Mutex<Registry>>,
    ready: Arc<AtomicBool>,
    store: Arc<OnceLock<Db>>,
    pub connections: Connections,
}

/// Counts of connections. Cheap to clone.
#[derive(Clone, Default)]
pub struct Connections {
    open: Gauge<i64, AtomicI64>,
    accepted: Counter<u64, AtomicU64>,
    failed_handshakes: Counter<u64, AtomicU64>,
}

impl Connections {
    /// Count a connection; it counts as open until the returned value is dropped.
    pub fn opened(&self) -> OpenConnection {
        self.accepted.inc();
        self.open.inc();
        OpenConnection(self.open.clone())
    }

    pub fn handshake_failed(&self) {
        self.failed_handshakes.inc();
    }
}

/// A connection that counts as open.
pub struct OpenConnection(Gauge<i64, AtomicI64>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Telling {
    /// Not ready yet.
    pub fn new() -> Self {
        let connections = Connections::default();
        let mut registry = Registry::with_prefix("blaupause");
        let build = Family::<Vec<(&'static str, &'static str)>, Gauge>::default();
        build.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION"))]).set(1);
        registry.register("build_info", "The version that runs", build);
        registry.register("connections_open", "Open HTTP connections", connections.open.clone());
        registry.register("connections", "HTTP connections accepted", connections.accepted.clone());
        registry.register(
            "tls_handshakes_failed",
            "TLS handshakes that failed or took too long",
            connections.failed_handshakes.clone(),
        );
        registry.register_collector(Box::new(process::Process));
        Self {
            registry: Arc::new(Mutex::new(registry)),
            ready: Arc::new(AtomicBool::new(false)),
            store: Arc::default(),
            connections,
        }
    }

    /// Also tell about the database; without one that takes writes the server is not ready.
    pub fn watch_store(&self, db: Db) {
        let _ = self.store.set(db.clone()); // it is only given once
        self.registry.lock().register_collector(Box::new(store::Database(db)));
    }

    /// Also tell about the change log.
    pub fn watch_log(&self, data: Data) {
        self.registry.lock().register_collector(Box::new(log::ChangeLog(data)));
    }

    /// Also tell about application services.
    pub fn watch_app_services(&self, services: Services) {
        let watched = Box::new(app_services::AppServices(services));
        self.registry.lock().register_collector(watched);
    }

    /// Also tell what another crate counts.
    pub fn register<M>(&self, register: impl FnOnce(&mut Registry) -> M) -> M {
        register(&mut self.registry.lock())
    }

    /// Whether load balancers should send requests here.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::SeqCst);
    }

    /// Answer one request of the operators' listener.
    pub fn answer<B>(&self, request: &Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"));
        }
        Ok(match request.uri().path() {
            "/health/live" => text(StatusCode::OK, "live\n"),
            "/health/ready" => self.readiness(),
            "/metrics" => self.metrics(),
            _ => text(StatusCode::NOT_FOUND, "/metrics, /health/live, /health/ready\n"),
        })
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        if !self.ready.load(Ordering::SeqCst) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n");
        }
        match self.store.get().map_or(Health::Good, Db::health) {
            Health::Good => text(StatusCode::OK, "ready\n"),
            Health::LowSpace { .. } => {
                text(StatusCode::OK, "ready, but little disk space is left\n")
            }
            Health::FullDisk { .. } => {
                text(StatusCode::SERVICE_UNAVAILABLE, "not ready: the disk is full\n")
            }
            Health::Failed(_) => {
                text(StatusCode::SERVICE_UNAVAILABLE, "not ready: the database cannot be written\n")
            }
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut body = String::new();
        if prometheus_client::encoding::text::encode(&mut body, &self.registry.lock()).is_err() {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "cannot encode the metrics\n");
        }
        let mut response = Response::new(Full::from(body));
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static(
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            ),
        );
        response
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn get(telling: &Telling, path: &str) -> (u16, String) {
        let request = Request::get(path).body(()).expect("a request");
        let Ok(response) = telling.answer(&request);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn a_server_is_live_before_it_is_ready() {
        let telling = Telling::new();
        assert_eq!(get(&telling, "/health/live").await.0, 200);
        assert_eq!(get(&telling, "/health/ready").await.0, 503);
        telling.set_ready(true);
        assert_eq!(get(&telling, "/health/ready").await.0, 200);
        assert_eq!(get(&telling, "/").await.0, 404);
    }

    #[tokio::test]
    async fn metrics_name_version_connections_and_memory() {
        let telling = Telling::new();
        let open = telling.connections.opened();
        let (status, body) = get(&telling, "/metrics").await;
        assert_eq!(status, 200);
        assert!(body.contains("blaupause_build_info{version="), "{body}");
        assert!(body.contains("blaupause_connections_open 1"), "{body}");
        assert!(body.contains("process_resident_memory_bytes"), "{body}");
        drop(open);
        assert!(get(&telling, "/metrics").await.1.contains("blaupause_connections_open 0"));
    }
}
