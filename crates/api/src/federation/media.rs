//! Our files, for other servers (spec: server-server API, "Content Repository"): `multipart/mixed`
//! with an object that says nothing yet, then the file.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use blaupause_media::Download;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Method, header, request::Parts};
use ruma::api::federation::authentication::ServerSignatures;
use serde::Deserialize;

use crate::{
    ApiError, App, Caller, Serve,
    call::PathParams,
    client::media::{headers, is_media_id, thumbnail_wanted},
};

/// How long to wait for content that was not uploaded yet, if the other server does not say.
const TIMEOUT_DEFAULT_MS: u64 = 20_000;

pub(super) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve_raw(Method::GET, "/_matrix/federation/v1/media/download/{media_id}", download)
        .serve_raw(Method::GET, "/_matrix/federation/v1/media/thumbnail/{media_id}", thumbnail)
}

#[derive(Deserialize)]
struct Options {
    timeout_ms: Option<u64>,
}

async fn download(
    State(app): State<App>,
    params: PathParams,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let (id, timeout) = wanted(&app, &params, &parts).await?;
    // Ours only: what we keep of others is theirs to hand out.
    let download = app.media.download(app.data.server_name(), &id, timeout).await?;
    hand_out(&app, download).await
}

async fn thumbnail(
    State(app): State<App>,
    params: PathParams,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let (id, timeout) = wanted(&app, &params, &parts).await?;
    let wanted = thumbnail_wanted(&parts)?;
    let download = app.media.thumbnail(app.data.server_name(), &id, wanted, timeout).await?;
    hand_out(&app, download).await
}

async fn wanted(
    app: &App,
    params: &PathParams,
    parts: &Parts,
) -> Result<(String, Duration), ApiError> {
    let who = ServerSignatures::identify(app, parts).await?;
    ServerSignatures::confirm(app, parts, &Bytes::new(), who).await?;
    let id = params.iter().map(|(_, value)| value).next().filter(|id| is_media_id(id));
    let id = id.ok_or_else(|| ApiError::not_found("no such media"))?.to_owned();
    let options = axum::extract::Query::<Options>::try_from_uri(&parts.uri)
        .map_err(|_| ApiError::invalid_param("timeout_ms must be a number"))?;
    let timeout = Duration::from_millis(options.timeout_ms.unwrap_or(TIMEOUT_DEFAULT_MS));
    Ok((id, timeout))
}

async fn hand_out(app: &App, download: Download) -> Result<Response, ApiError> {
    let file = tokio::fs::File::open(&download.path).await.map_err(|e| ApiError::internal(&e))?;
    let boundary = app.data.env().random_text::<18>();
    // The same headers that a browser of ours would get: their checks hold here, too.
    let mut head = Response::new(Body::empty());
    headers::set(&mut head, &download.content, None);
    let mut part = Vec::new();
    part.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
    part.extend_from_slice(b"Content-Type: application/json\r\n\r\n{}");
    part.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
    for name in [header::CONTENT_TYPE, header::CONTENT_DISPOSITION] {
        if let Some(value) = head.headers().get(&name) {
            part.extend_from_slice(format!("{name}: ").as_bytes());
            part.extend_from_slice(value.as_bytes());
            part.extend_from_slice(b"\r\n");
        }
    }
    part.extend_from_slice(b"\r\n");
    let end = format!("\r\n--{boundary}--\r\n");
    let bytes = part.len() as u64 + download.content.size_bytes + end.len() as u64;
    let begin = stream::once(std::future::ready(Ok(Bytes::from(part))));
    let end = stream::once(std::future::ready(Ok(Bytes::from(end))));
    let file = tokio_util::io::ReaderStream::new(file);
    let mut response = Response::new(Body::from_stream(begin.chain(file).chain(end)));
    let kind = format!("multipart/mixed; boundary={boundary}");
    let kind = HeaderValue::from_str(&kind).map_err(|error| ApiError::internal(&error))?;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    Ok(response)
}
