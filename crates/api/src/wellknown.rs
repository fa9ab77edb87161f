//! `/.well-known/matrix` (spec: client-server API, "Server Discovery"; server-server API,
//! "Resolving server names").

use axum::{Json, Router, extract::State};
use http::Method;
use serde_json::{Map, Value, json};

use crate::{ApiError, App, Serve, app::LiveKit, oauth};

/// What is told; what is `None` is answered with 404.
#[derive(Clone, Debug, Default)]
pub struct WellKnown {
    /// Base URL for clients.
    pub client_base_url: Option<String>,
    /// `host:port` for other servers.
    pub server: Option<String>,
    /// Contacts (spec: "GET /.well-known/matrix/support").
    pub support: Option<Value>,
    /// Further fields of the client document (`io.element.e2ee`, …).
    pub client_extra: Map<String, Value>,
}

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve_raw(Method::GET, "/.well-known/matrix/client", client)
        .serve_raw(Method::GET, "/.well-known/matrix/server", server)
        .serve_raw(Method::GET, "/.well-known/matrix/support", support)
}

async fn client(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let known = &app.settings.well_known;
    let base_url = known.client_base_url.as_ref().ok_or_else(|| not_set("client"))?;
    let mut document = known.client_extra.clone();
    document.insert("m.homeserver".into(), json!({ "base_url": base_url }));
    if let Some(oauth) = &app.settings.oauth {
        let known = oauth::well_known(&oauth.base_url);
        document.insert("org.matrix.msc2965.authentication".into(), known);
    }
    let foci = app.settings.rtc.iter();
    let foci: Vec<Value> = foci
        .map(|focus| json!({ "type": LiveKit::TYPE, LiveKit::URL: focus.service_url }))
        .collect();
    if !foci.is_empty() {
        document.insert("org.matrix.msc4143.rtc_foci".into(), foci.into());
    }
    Ok(Json(Value::Object(document)))
}

async fn server(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let server = app.settings.well_known.server.as_ref().ok_or_else(|| not_set("server"))?;
    Ok(Json(json!({ "m.server": server })))
}

async fn support(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let support = app.settings.well_known.support.clone();
    Ok(Json(support.ok_or_else(|| not_set("support"))?))
}

fn not_set(what: &str) -> ApiError {
    ApiError::not_found(format!("no {what} document is configured"))
}
