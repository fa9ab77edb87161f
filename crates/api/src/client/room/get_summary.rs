//! `GET /_matrix/client/v1/room_summary/{roomIdOrAlias}`

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response as HttpResponse},
};
use blaupause_data::Member;
use ruma::api::client::room::get_summary::v1::{Request, Response};

use crate::{ApiError, App, Call, client::membership::room_of, reply::reply};

/// The path of MSC3266 before it had the version that ruma knows; Cinny uses it.
pub(super) const OLD_PATH: &str =
    "/_matrix/client/unstable/im.nheko.summary/summary/{room_id_or_alias}";

pub(crate) async fn get_summary(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id_or_alias, via, .. } = call.body;
    let room = room_of(&app, room_id_or_alias, via).await?;
    let user = call.who.as_ref().map(|user| &*user.user_id);
    let found = app.rooms.summary_via(user, &room.room_id, &room.servers).await?;
    let mut response = Response::new(found.summary);
    response.membership = found.membership.map(Member::to_state);
    Ok(response)
}

pub(super) async fn get_summary_old(
    State(app): State<App>,
    request: http::Request<Body>,
) -> HttpResponse {
    let answer = async {
        let call = Call::<Request>::from_request(&app, request, &[]).await?;
        get_summary(app.clone(), call).await
    };
    match answer.await {
        Ok(response) => reply(response),
        Err(error) => error.into_response(),
    }
}
