//! `GET /_matrix/key/v2/server`

use axum::{Json, extract::State};
use ruma::{
    CanonicalJsonObject,
    api::federation::discovery::get_server_keys::v2::{Request, Response},
};

use super::raw;
use crate::{ApiError, App, Call};

pub(crate) async fn get_server_keys(app: App, _: Call<Request>) -> Result<Response, ApiError> {
    Ok(Response::new(raw(&app.federation.own_key_document())?))
}

/// Whatever key is asked for: all of them.
pub(crate) async fn of_key(State(app): State<App>) -> Json<CanonicalJsonObject> {
    Json(app.federation.own_key_document())
}
