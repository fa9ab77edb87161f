//! `GET /_matrix/client/v3/presence/{userId}/status`

use blaupause_data::{Member, rows::MemberRow};
use ruma::{
    UserId,
    api::client::presence::get_presence::v3::{Request, Response},
};

use crate::{ApiError, App, Call};

pub(crate) async fn get_presence(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let user = &call.body.user_id;
    if !share_a_room(&app, &call.who.user_id, user).await? {
        return Err(ApiError::forbidden("you do not share a room with this user"));
    }
    let status = app.accounts.presence().get(user);
    let mut response = Response::new(status.state);
    response.status_msg = status.status_msg;
    response.last_active_ago = status.last_active_ago;
    response.currently_active = Some(status.currently_active);
    Ok(response)
}

async fn share_a_room(app: &App, asking: &UserId, user: &UserId) -> Result<bool, ApiError> {
    if asking == user {
        return Ok(true);
    }
    let parts = app.data.parts();
    let rooms = app.data.joined_rooms(asking).await?;
    let key = (Member::Join as u8, parts.user(user));
    let rows = app.data.get_many::<MemberRow>(rooms.iter().map(|room| (parts.room(room), &key)));
    Ok(rows.await?.into_iter().any(|row| row.is_some()))
}
