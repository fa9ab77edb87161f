//! Version 1 of `send_join` and `send_leave`: the same as version 2, with an answer in a list behind
//! its own status (server-server API, "PUT /_matrix/federation/v1/send_join").

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::Method;
use ruma::api::{
    IncomingRequest, OutgoingResponseExt,
    federation::membership::{create_join_event, create_leave_event},
};
use serde_json::{Value, json};

use super::{create_join_event as join, create_leave_event as leave};
use crate::{ApiError, App, Call, Caller, Serve};

pub(super) fn routes(router: axum::Router<App>) -> axum::Router<App> {
    let at = |step: &str| format!("/_matrix/federation/v1/{step}/{{room_id}}/{{event_id}}");
    router.serve_raw(Method::PUT, &at("send_join"), send_join).serve_raw(
        Method::PUT,
        &at("send_leave"),
        send_leave,
    )
}

async fn send_join(State(app): State<App>, request: http::Request<Body>) -> Response {
    in_list(async {
        let call = read::<create_join_event::v2::Request>(&app, request).await?;
        as_json(join::create_join_event(app, call).await?)
    })
    .await
}

async fn send_leave(State(app): State<App>, request: http::Request<Body>) -> Response {
    in_list(async {
        let call = read::<create_leave_event::v2::Request>(&app, request).await?;
        as_json(leave::create_leave_event(app, call).await?)
    })
    .await
}

/// The paths differ in nothing but the version.
async fn read<R>(app: &App, request: http::Request<Body>) -> Result<Call<R>, ApiError>
where
    R: IncomingRequest,
    R::Authentication: Caller,
{
    Call::from_request(app, request, &[]).await
}

fn as_json(response: impl ruma::api::OutgoingResponse) -> Result<Value, ApiError> {
    let response = response.try_into_http_response::<Vec<u8>>();
    let response = response.map_err(|error| ApiError::internal(&error))?;
    serde_json::from_slice(response.body()).map_err(|error| ApiError::internal(&error))
}

async fn in_list(answer: impl Future<Output = Result<Value, ApiError>>) -> Response {
    match answer.await {
        Ok(answer) => Json(json!([200, answer])).into_response(),
        Err(error) => error.into_response(),
    }
}
