//! `GET /_matrix/client/v3/rooms/{roomId}/joined_members`

use ruma::{
    OwnedMxcUri,
    api::client::membership::joined_members::v3::{Request, Response, RoomMember},
};

use crate::{ApiError, App, Call, client::access::access};

pub(crate) async fn joined_members(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let access = access(&app, &call.who, &call.body.room_id).await?;
    let joined = access.joined_members().await?.into_iter().map(|(user, member)| {
        let mut shown = RoomMember::new();
        shown.display_name = member.display_name;
        // Clients rely on the key; the empty text stands for "none" as in profiles.
        shown.avatar_url = Some(OwnedMxcUri::from(member.avatar_url.unwrap_or_default()));
        (user, shown)
    });
    Ok(Response::new(joined.collect()))
}
