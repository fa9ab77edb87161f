//! From ruma's metadata to routes.

use std::{cell::RefCell, collections::BTreeSet, future::Future};

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
    oauth, reply::reply, request_id, wellknown,
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
        let token = Some(R::Authentication::NEEDS_TOKEN);
        for path in &paths {
            note(&R::METHOD, path, token);
            self = self.route(path, endpoint::<R, H, F>(handler.clone(), &[]));
            // The state key is often empty: it may be left out with or without the slash (spec:
            // "PUT /rooms/{roomId}/state/{eventType}/{stateKey}").
            if let Some(without) = path.strip_suffix("/{state_key}") {
                let slash = format!("{without}/");
                note(&R::METHOD, &slash, token);
                self = self.route(&slash, endpoint::<R, H, F>(handler.clone(), &[""]));
                if !paths.contains(without) {
                    note(&R::METHOD, without, token);
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
        note(&method, path, None);
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

fn routes() -> Router<App> {
    let router = client::routes(Router::new());
    let router = federation::open_routes(admin::routes(router));
    wellknown::routes(oauth::open_routes(router))
}

/// One method at one path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// With the names of its parameters in braces.
    pub path: String,
    pub method: String,
    /// Whether it asks for an access token; `None`: its handler says.
    pub needs_token: Option<bool>,
}

thread_local! {
    /// Where [`route_table`] collects. axum's router does not say what is in it.
    static TABLE: RefCell<Option<Vec<Route>>> = const { RefCell::new(None) };
}

fn note(method: &Method, path: &str, needs_token: Option<bool>) {
    TABLE.with_borrow_mut(|table| {
        let route =
            Route { path: path.to_owned(), method: method.as_str().to_owned(), needs_token };
        table.iter_mut().for_each(|table| table.push(route.clone()));
    });
}

/// Every route of the server, in order: for tests that must not miss one.
pub fn route_table() -> Vec<Route> {
    TABLE.set(Some(Vec::new()));
    drop(routes());
    let mut table = TABLE.take().unwrap_or_default();
    table.sort();
    table
}

/// Everything this server answers.
pub fn router(app: App) -> Router {
    let mut router = routes();
    if !app.settings.federation_off {
        router = federation::routes(router);
    }
    if app.settings.oauth.is_some() {
        router = oauth::routes(router);
    }
    router
        .fallback(|| async { ApiError::unrecognized().into_response() })
        .method_not_allowed_fallback(|| async { ApiError::wrong_method().into_response() })
        .layer(axum::middleware::from_fn_with_state(app.clone(), limits::limit))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(axum::middleware::from_fn(headers::set))
        .layer(cors::layer())
        .layer(axum::middleware::from_fn(drain::drain))
        .layer(axum::middleware::from_fn_with_state(app.clone(), metrics::observe))
        .layer(axum::middleware::from_fn_with_state(app.clone(), request_id::set))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_route_once() {
        let table = route_table();
        let route = |path: &str| table.iter().find(|route| route.path == path);
        let whoami = route("/_matrix/client/v3/account/whoami").expect("it is served");
        assert_eq!((&*whoami.method, whoami.needs_token), ("GET", Some(true)));
        assert!(route("/_matrix/media/v3/upload").is_some());
        assert!(route("/.well-known/matrix/client").is_some());
        let twice = table.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(twice, None);
        assert!(table.len() > 200, "{}", table.len());
    }
}
