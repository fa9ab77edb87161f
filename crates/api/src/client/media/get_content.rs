//! `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}[/{fileName}]` and the deprecated
//! paths without sign-in

use std::time::Duration;

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::request::Parts;
use ruma::{OwnedServerName, api::auth_scheme::AccessToken};
use serde::Deserialize;

use super::range;
use crate::{ApiError, App, Caller, call::PathParams};

/// How long to wait for content that was not uploaded yet, if the client does not say.
const TIMEOUT_DEFAULT_MS: u64 = 20_000;

#[derive(Deserialize)]
struct Options {
    timeout_ms: Option<u64>,
}

/// What a path and query ask for.
pub(super) struct Wanted {
    pub server: OwnedServerName,
    pub id: String,
    pub file_name: Option<String>,
    pub timeout: Duration,
}

impl Wanted {
    pub(super) fn parse(params: &PathParams, parts: &Parts) -> Result<Self, ApiError> {
        let mut values = params.iter().map(|(_, value)| value);
        let server = values.next().and_then(|server| OwnedServerName::try_from(server).ok());
        let server = server.ok_or_else(|| ApiError::invalid_param("not a server name"))?;
        let id = values.next().filter(|id| is_media_id(id));
        let id = id.ok_or_else(|| ApiError::not_found("no such media"))?.to_owned();
        let file_name = values.next().map(ToOwned::to_owned);
        let options = axum::extract::Query::<Options>::try_from_uri(&parts.uri)
            .map_err(|_| ApiError::invalid_param("timeout_ms must be a number"))?;
        let timeout = Duration::from_millis(options.timeout_ms.unwrap_or(TIMEOUT_DEFAULT_MS));
        Ok(Self { server, id, file_name, timeout })
    }

    /// Files of other servers are for people of this one, who say so by their token also where none
    /// is needed: strangers must not make it fetch what fills its disk.
    pub(super) async fn unless_stranger(self, app: &App, parts: &Parts) -> Result<Self, ApiError> {
        let is_ours = self.server == app.data.server_name();
        if is_ours || AccessToken::identify(app, parts).await.is_ok() {
            Ok(self)
        } else {
            Err(ApiError::not_found("files of other servers are for signed-in users only"))
        }
    }
}

/// Media ids are opaque, but never anything else than this (spec: "Matrix Content (`mxc://`)
/// URIs").
pub(crate) fn is_media_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 255
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

pub(super) async fn get_content(
    State(app): State<App>,
    params: PathParams,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    AccessToken::identify(&app, &parts).await?;
    hand_out(&app, &Wanted::parse(&params, &parts)?, &parts).await
}

pub(super) async fn get_content_deprecated(
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
    let download = app.media.download(&wanted.server, &wanted.id, wanted.timeout).await?;
    range::answer(&download, wanted.file_name.as_deref(), &parts.headers).await
}
