//! `GET /_matrix/client/v3/publicRooms`

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response as HttpResponse},
};
use ruma::{
    api::{
        auth_scheme::AccessToken,
        client::directory::get_public_rooms::v3::{Request, Response},
    },
    directory::{Filter, RoomNetwork},
};

use super::{page, with_join_rules};
use crate::{ApiError, App, Call, Caller};

/// The specification lets everybody ask. A server of an authority has internal rooms, so without
/// the operator's permission only its users may.
pub(crate) async fn get_public_rooms(
    State(app): State<App>,
    request: http::Request<Body>,
) -> HttpResponse {
    match answer(&app, request).await.and_then(with_join_rules) {
        Ok(page) => Json(page).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn answer(app: &App, request: http::Request<Body>) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    if !app.settings.public_rooms_without_auth {
        AccessToken::identify(app, &parts).await?;
    }
    let request = http::Request::from_parts(parts, body);
    let Request { limit, since, server, .. } =
        Call::<Request>::from_request(app, request, &[]).await?.body;
    let found =
        page(app, server.as_deref(), limit, since, Filter::new(), &RoomNetwork::Matrix).await?;
    let mut response = Response::new(found.rooms);
    response.next_batch = found.next;
    response.prev_batch = found.previous;
    response.total_room_count_estimate = u32::try_from(found.total).ok().map(Into::into);
    Ok(response)
}
