//! Endpoints that ruma has no type for: who calls, path, query and body as they are.

use std::{fmt::Display, str::FromStr};

use axum::{
    Json, Router,
    body::Body,
    extract::{FromRequestParts, Query, State},
    response::IntoResponse,
    routing::on,
};
use http::{Method, Request, Uri};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    ApiError, App, Caller,
    call::{PathParams, checked_json, misread_json, read_body},
    routes::{filter, note},
};

/// A request that ruma has no type for, with its caller.
pub(crate) struct Asked<A: Caller> {
    pub who: A::Who,
    params: Vec<(String, String)>,
    uri: Uri,
    body: Vec<u8>,
}

impl<A: Caller> Asked<A> {
    /// Recognise the caller, then read the rest, as [`crate::Call`].
    async fn from_request(app: &App, request: Request<Body>) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let who = A::identify(app, &parts).await?;
        let params = PathParams::from_request_parts(&mut parts, app).await?;
        let params = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let params = params.collect();
        let raw = read_body(&parts, body).await?;
        let body = checked_json(&parts, &raw)?.to_vec();
        Ok(Self { who, params, uri: parts.uri, body })
    }

    /// A parameter of the path, by the name that it has in the route.
    pub(crate) fn param<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, ApiError> {
        let value = self.text(name);
        value.parse().map_err(|error| ApiError::invalid_param(format!("{name}: {error}")))
    }

    /// As [`Self::param`], for what may be any text.
    pub(crate) fn text(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value).expect("the route has the parameter")
    }

    /// The query.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let query = Query::<T>::try_from_uri(&self.uri);
        query.map(|query| query.0).map_err(|error| misread_query(error.body_text()))
    }

    /// The body.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body).map_err(|error| misread_json(&error))
    }

    /// The body as an object; empty if there is none.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, ApiError> {
        if self.body.is_empty() { Ok(Map::new()) } else { self.body() }
    }
}

fn misread_query(text: String) -> ApiError {
    if text.contains("missing field") {
        ApiError::missing_param(text)
    } else {
        ApiError::invalid_param(text)
    }
}

/// Registers handlers for what ruma has no type for, or has at another path or method.
pub(crate) trait ServeAsked {
    /// Serve one method at one path; the answer is JSON.
    #[must_use]
    fn serve_asked<A, H, F>(self, method: Method, path: &str, handler: H) -> Self
    where
        A: Caller + Send + 'static,
        H: Fn(App, Asked<A>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Value, ApiError>> + Send;
}

impl ServeAsked for Router<App> {
    fn serve_asked<A, H, F>(self, method: Method, path: &str, handler: H) -> Self
    where
        A: Caller + Send + 'static,
        H: Fn(App, Asked<A>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Value, ApiError>> + Send,
    {
        note(&method, path, Some(A::NEEDS_TOKEN));
        let answer = move |State(app): State<App>, request: Request<Body>| async move {
            let asked = match Asked::<A>::from_request(&app, request).await {
                Ok(asked) => asked,
                Err(error) => return error.into_response(),
            };
            match handler(app, asked).await {
                Ok(answer) => Json(answer).into_response(),
                Err(error) => error.into_response(),
            }
        };
        self.route(path, on(filter(&method), answer))
    }
}
