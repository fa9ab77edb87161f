//! From ruma's metadata to routes.

use std::{collections::BTreeSet, future::Future};

use axum::{
    Router,
    body::Body,
    extract::State,
    handler::Handler,
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use http::{Method, Request};
use ruma::api::{IncomingRequest, path_builder::PathBuilder};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    ApiError, App, Call, Caller, admin, client, cors, drain, federation, headers, limits, metrics,
    reply::reply, wellknown,
};

/// Registers handlers at the paths that ruma knows.
pub trait Serve {
    /// Serve an endpoint at all its paths, stable and unstable.
    #[must_use]
    fn serve<R, H, F>(self, handler: H) -> Self
    where
        R: IncomingRequest + Send + 'static,
        R::Authentication: Caller,
        H: Fn(App, Call<R>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<R::OutgoingResponse, ApiError>> + Send;

    /// Serve a path that ruma has no type for, or whose body is not JSON.
    #[must_use]
    fn serve_raw<T, H>(self, method: Method, path: &str, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static;
}

impl Serve for Router<App> {
    fn serve<R, H, F>(mut self, handler: H) -> Self
    where
        R: IncomingRequest + Send + 'static,
        R::Authentication: Caller,
        H: Fn(App, Call<R>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<R::OutgoingResponse, ApiError>> + Send,
    {
        let paths: BTreeSet<&str> = R::PATH_BUILDER.all_paths().collect();
        for path in &paths {
            self = self.route(path, endpoint::<R, H, F>(handler.clone(), &[]));
            // The state key is often empty: it may be left out with or without the slash (spec:
            // "PUT /rooms/{roomId}/state/{eventType}/{stateKey}").
            if let Some(without) = path.strip_suffix("/{state_key}") {
                let slash = format!("{without}/");
                self = self.route(&slash, endpoint::<R, H, F>(handler.clone(), &[""]));
                if !paths.contains(without) {
                    self = self.route(without, endpoint::<R, H, F>(handler.clone(), &[""]));
                }
            }
        }
        self
    }

    fn serve_raw<T, H>(self, method: Method, path: &str, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.route(path, on(filter(&method), handler))
    }
}

fn endpoint<R, H, F>(handler: H, extra: &'static [&'static str]) -> axum::routing::MethodRouter<App>
where
    R: IncomingRequest + Send + 'static,
    R::Authentication: Caller,
    H: Fn(App, Call<R>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<R::OutgoingResponse, ApiError>> + Send,
{
    let answer = move |State(app): State<App>, request: Request<Body>| async move {
        let call = match Call::<R>::from_request(&app, request, extra).await {
            Ok(call) => call,
            Err(error) => return error.into_response(),
        };
        match handler(app, call).await {
            Ok(response) => reply(response),
            Err(error) => error.into_response(),
        }
    };
    on(filter(&R::METHOD), answer)
}

fn filter(method: &Method) -> MethodFilter {
    MethodFilter::try_from(method.clone()).expect("Matrix uses the common methods only")
}

/// Everything this server answers.
pub fn router(app: App) -> Router {
    let router = client::routes(Router::new());
    let router = federation::routes(admin::routes(router));
    wellknown::routes(router)
        .fallback(|| async { ApiError::unrecognized().into_response() })
        .method_not_allowed_fallback(|| async { ApiError::wrong_method().into_response() })
        .layer(axum::middleware::from_fn_with_state(app.clone(), limits::limit))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(axum::middleware::from_fn(headers::set))
        .layer(cors::layer())
        .layer(axum::middleware::from_fn(drain::drain))
        .layer(axum::middleware::from_fn_with_state(app.clone(), metrics::observe))
        .with_state(app)
}

/// A panic is a mistake of ours: the client gets a plain 500, the log the reason.
#[expect(clippy::needless_pass_by_value, reason = "the layer asks for this signature")]
fn panicked(reason: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let text = reason
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| reason.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    ApiError::internal(&format!("panic: {text}")).into_response()
}
