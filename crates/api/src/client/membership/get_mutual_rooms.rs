//! `GET /_matrix/client/v1/mutual_rooms`, and as it was proposed (MSC2666): without the count.

use blaupause_rooms::MutualRooms;
use ruma::{
    UInt, UserId,
    api::client::membership::get_mutual_rooms::{
        unstable,
        v1::{Request, Response},
    },
};

use crate::{ApiError, App, Call, User};

pub(crate) async fn get_mutual_rooms(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let found = shared(&app, &call.who, &call.body.user_id, call.body.from.as_deref()).await?;
    let count = UInt::new_saturating(found.count as u64);
    let mut response = Response::new(count, found.rooms);
    response.next_batch = found.next;
    Ok(response)
}

pub(crate) async fn get_mutual_rooms_unstable(
    app: App,
    call: Call<unstable::Request>,
) -> Result<unstable::Response, ApiError> {
    let found = shared(&app, &call.who, &call.body.user_id, call.body.from.as_deref()).await?;
    let mut response = unstable::Response::new(found.rooms);
    response.next_batch = found.next;
    Ok(response)
}

async fn shared(
    app: &App,
    who: &User,
    other: &UserId,
    from: Option<&str>,
) -> Result<MutualRooms, ApiError> {
    // The specification wants names of old kinds refused.
    other.validate_strict().map_err(|error| ApiError::invalid_param(error.to_string()))?;
    Ok(app.rooms.mutual_rooms(&who.user_id, other, from).await?)
}
