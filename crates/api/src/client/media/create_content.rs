//! `POST /_matrix/media/v3/upload` and `PUT /_matrix/media/v3/upload/{serverName}/{mediaId}`

use axum::{
    Json,
    body::Body,
    extract::{Path, Query, State},
};
use blaupause_media::Upload;
use http::{Request, header, request::Parts};
use ruma::{OwnedServerName, api::auth_scheme::AccessToken};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    ApiError, App, Caller,
    body::{Arriving, announced},
};

#[derive(Deserialize)]
struct Name {
    filename: Option<String>,
}

pub(super) async fn create_content(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Json<Value>, ApiError> {
    let (parts, body) = request.into_parts();
    let who = AccessToken::identify(&app, &parts).await?;
    refuse_too_large(&app, &parts)?;
    let upload = app.media.upload(&who.user_id).await?;
    let uri = receive(upload, &parts, body).await?;
    Ok(Json(json!({ "content_uri": uri })))
}

pub(super) async fn create_content_async(
    State(app): State<App>,
    path: Result<Path<(OwnedServerName, String)>, axum::extract::rejection::PathRejection>,
    request: Request<Body>,
) -> Result<Json<Value>, ApiError> {
    let (parts, body) = request.into_parts();
    let who = AccessToken::identify(&app, &parts).await?;
    let Path((server, id)) = path.map_err(|_| ApiError::invalid_param("no such media id"))?;
    refuse_too_large(&app, &parts)?;
    let upload = app.media.upload_created(&who.user_id, &server, &id).await?;
    receive(upload, &parts, body).await?;
    Ok(Json(json!({})))
}

/// If the client says that it will be too much, it need not send it.
fn refuse_too_large(app: &App, parts: &Parts) -> Result<(), ApiError> {
    let bytes_max = app.media.settings().upload_bytes_max;
    if announced(&parts.headers).is_some_and(|bytes| bytes > bytes_max) {
        return Err(ApiError::too_large("the file is larger than this server takes"));
    }
    Ok(())
}

async fn receive(
    mut upload: Upload,
    parts: &Parts,
    body: Body,
) -> Result<ruma::OwnedMxcUri, ApiError> {
    let name = Query::<Name>::try_from_uri(&parts.uri)
        .map_err(|_| ApiError::invalid_param("the query cannot be read"))?;
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let mut arriving = Arriving::new(body);
    while let Some(piece) = arriving.next().await? {
        upload.write(&piece).await?;
    }
    Ok(upload.finish(content_type, name.0.filename).await?)
}
