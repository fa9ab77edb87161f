//! `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}` and the deprecated paths
//! without sign-in

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use blaupause_media::{Method, Thumbnail, ThumbnailSize};
use http::request::Parts;
use ruma::api::auth_scheme::AccessToken;
use serde::Deserialize;

use super::{get_content::Wanted, headers};
use crate::{ApiError, App, Caller, call::PathParams};

#[derive(Deserialize)]
struct Options {
    width: u32,
    height: u32,
    method: Option<MethodName>,
    #[serde(default)]
    animated: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum MethodName {
    Crop,
    Scale,
}

pub(super) async fn get_content_thumbnail(
    State(app): State<App>,
    params: PathParams,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    AccessToken::identify(&app, &parts).await?;
    hand_out(&app, &Wanted::parse(&params, &parts)?, &parts).await
}

pub(super) async fn get_content_thumbnail_deprecated(
    State(app): State<App>,
    params: PathParams,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    if !app.settings.legacy_media {
        return Err(ApiError::not_found("media is handed out to signed-in users only"));
    }
    let wanted = Wanted::parse(&params, &parts)?.unless_stranger(&app, &parts).await?;
    hand_out(&app, &wanted, &parts).await
}

async fn hand_out(app: &App, wanted: &Wanted, parts: &Parts) -> Result<Response, ApiError> {
    let thumbnail = thumbnail_wanted(parts)?;
    let (server, id) = (&wanted.server, &wanted.id);
    let download = app.media.thumbnail(server, id, thumbnail, wanted.timeout).await?;
    let file = tokio::fs::File::open(&download.path).await.map_err(|e| ApiError::internal(&e))?;
    let stream = tokio_util::io::ReaderStream::new(file);
    let mut response = Response::new(Body::from_stream(stream));
    headers::set(&mut response, &download.content, None);
    Ok(response)
}

/// What thumbnail a query asks for.
pub(crate) fn thumbnail_wanted(parts: &Parts) -> Result<Thumbnail, ApiError> {
    let options = axum::extract::Query::<Options>::try_from_uri(&parts.uri)
        .map_err(|error| ApiError::invalid_param(error.to_string()))?;
    let size = ThumbnailSize { width: options.width, height: options.height };
    if size.width == 0 || size.height == 0 {
        return Err(ApiError::invalid_param("width and height must be greater than 0"));
    }
    let method = match options.method {
        Some(MethodName::Crop) => Method::Crop,
        Some(MethodName::Scale) | None => Method::Scale,
    };
    Ok(Thumbnail { size, method, animated: options.animated })
}
