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
use http::{Method, Request, header::CONTENT_TYPE};
use ruma::api::{IncomingRequest, path_builder::PathBuilder};
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    ApiError, App, Call, Caller, admin, client, cors, drain, federation, headers, limits, metrics,
    oauth, pages, reply::reply, request_id, wellknown,
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

    /// As [`Serve::serve`], for an endpoint that answers with another JSON if it is asked for
    /// something else than ruma's type says.
    #[must_use]
    fn serve_or<R, H, F>(self, handler: H) -> Self
    where
        R: IncomingRequest + Send + 'static,
        R::Authentication: Caller,
        H: Fn(App, Call<R>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answer<R::OutgoingResponse>, ApiError>> + Send;

    /// Serve a path that ruma has no type for, or whose body is not JSON.
    #[must_use]
    fn serve_raw<T, H>(self, method: Method, path: &str, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static;
}

/// What an endpoint of [`Serve::serve_or`] answers.
pub enum Answer<T> {
    Usual(T),
    Other(Value),
    /// JSON.
    Written(Vec<u8>),
}

impl Serve for Router<App> {
    fn serve<R, H, F>(self, handler: H) -> Self
    where
        R: IncomingRequest + Send + 'static,
        R::Authentication: Caller,
        H: Fn(App, Call<R>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<R::OutgoingResponse, ApiError>> + Send,
    {
        at_all_paths(self, handler, reply)
    }

    fn serve_or<R, H, F>(self, handler: H) -> Self
    where
        R: IncomingRequest + Send + 'static,
        R::Authentication: Caller,
        H: Fn(App, Call<R>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answer<R::OutgoingResponse>, ApiError>> + Send,
    {
        at_all_paths(self, handler, |answer| match answer {
            Answer::Usual(response) => reply(response),
            Answer::Other(json) => axum::Json(json).into_response(),
            Answer::Written(json) => {
                ([(CONTENT_TYPE, "application/json")], Body::from(json)).into_response()
            }
        })
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

/// Routes of an endpoint at all its paths; `reply` makes HTTP of what the handler answers.
fn at_all_paths<R, H, F, A>(
    mut router: Router<App>,
    handler: H,
    reply: fn(A) -> Response,
) -> Router<App>
where
    R: IncomingRequest + Send + 'static,
    R::Authentication: Caller,
    H: Fn(App, Call<R>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<A, ApiError>> + Send,
    A: 'static,
{
    let paths: BTreeSet<&str> = R::PATH_BUILDER.all_paths().collect();
    let token = Some(R::Authentication::NEEDS_TOKEN);
    for path in &paths {
        note(&R::METHOD, path, token);
        router = router.route(path, endpoint::<R, H, F, A>(handler.clone(), reply, &[]));
        // The state key is often empty: it may be left out with or without the slash (spec:
        // "PUT /rooms/{roomId}/state/{eventType}/{stateKey}").
        if let Some(without) = path.strip_suffix("/{state_key}") {
            let slash = format!("{without}/");
            note(&R::METHOD, &slash, token);
            router = router.route(&slash, endpoint::<R, H, F, A>(handler.clone(), reply, &[""]));
            if !paths.contains(without) {
                note(&R::METHOD, without, token);
                let route = endpoint::<R, H, F, A>(handler.clone(), reply, &[""]);
                router = router.route(without, route);
            }
        }
    }
    router
}

fn endpoint<R, H, F, A>(
    handler: H,
    reply: fn(A) -> Response,
    extra: &'static [&'static str],
) -> axum::routing::MethodRouter<App>
where
    R: IncomingRequest + Send + 'static,
    R::Authentication: Caller,
    H: Fn(App, Call<R>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<A, ApiError>> + Send,
    A: 'static,
{
    let answer = move |State(app): State<App>, request: Request<Body>| async move {
        let call = match Call::<R>::from_request(&app, request, extra).await {
            Ok(call) => call,
            Err(error) => return error.into_response(),
        };
        match handler(app, call).await {
            Ok(answer) => reply(answer),
            Err(error) => error.into_response(),
        }
    };
    on(filter(&R::METHOD), answer)
}

pub(crate) fn filter(method: &Method) -> MethodFilter {
    MethodFilter::try_from(method.clone()).expect("Matrix uses the common methods only")
}

fn routes() -> Router<App> {
    let router = client::routes(Router::new());
    let router = federation::open_routes(admin::routes(router));
    wellknown::routes(oauth::open_routes(router))
}

/// Adds the routes of a part.
type AddRoutes = fn(Router<App>) -> Router<App>;

/// What is there only where the operator switched it on.
const OPTIONAL: [(OnlyWith, AddRoutes); 5] = [
    (OnlyWith::Federation, federation::routes),
    (OnlyWith::OAuth, oauth::routes),
    (OnlyWith::Pages, pages::routes),
    (OnlyWith::Mail, pages::mail_routes),
    (OnlyWith::AnyPage, pages::common_routes),
];

/// What must be switched on for a route to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnlyWith {
    Federation,
    /// The OAuth 2.0 server.
    OAuth,
    /// The pages for signing in and for the account: OAuth, or an identity provider.
    Pages,
    /// Sending mail.
    Mail,
    /// `Pages` or `Mail`.
    AnyPage,
}

impl OnlyWith {
    fn is_on(self, app: &App) -> bool {
        let has_pages = app.pages_base_url().is_some();
        let has_mail = app.settings.mail.is_some();
        match self {
            Self::Federation => app.federation.is_on(),
            Self::OAuth => app.settings.oauth.is_some(),
            Self::Pages => has_pages,
            Self::Mail => has_mail,
            Self::AnyPage => has_pages || has_mail,
        }
    }
}

/// One method at one path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// With the names of its parameters in braces.
    pub path: String,
    pub method: String,
    /// Whether it asks for an access token; `None`: its handler says.
    pub needs_token: Option<bool>,
    /// `None`: it is always there.
    pub only_with: Option<OnlyWith>,
}

thread_local! {
    /// Where [`route_table`] collects. axum's router does not say what is in it.
    static TABLE: RefCell<Option<Vec<Route>>> = const { RefCell::new(None) };
}

/// Remember a route for [`route_table`].
pub(crate) fn note(method: &Method, path: &str, needs_token: Option<bool>) {
    TABLE.with_borrow_mut(|table| {
        let (path, method) = (path.to_owned(), method.as_str().to_owned());
        let route = Route { path, method, needs_token, only_with: None };
        table.iter_mut().for_each(|table| table.push(route.clone()));
    });
}

/// Every route that the server can have, in order: for documents, and for tests that must not miss
/// one.
pub fn route_table() -> Vec<Route> {
    let mut table = table_of(None, routes);
    for (only_with, add) in OPTIONAL {
        table.extend(table_of(Some(only_with), || add(Router::new())));
    }
    table.sort();
    table
}

fn table_of(only_with: Option<OnlyWith>, routes: impl FnOnce() -> Router<App>) -> Vec<Route> {
    TABLE.set(Some(Vec::new()));
    drop(routes());
    let table = TABLE.take().unwrap_or_default();
    table.into_iter().map(|route| Route { only_with, ..route }).collect()
}

/// Everything this server answers.
pub fn router(app: App) -> Router {
    let mut router = routes();
    for (only_with, add) in OPTIONAL {
        if only_with.is_on(&app) {
            router = add(router);
        }
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
