//! `GET /_matrix/client/v3/rooms/{roomId}/joined_members`

use ruma::api::client::membership::joined_members::v3::{Request, Response};
use serde_json::{Map, Value, json};

use crate::{ApiError, App, Call, client::access::access, routes::Answer};

pub(crate) async fn joined_members(
    app: App,
    call: Call<Request>,
) -> Result<Answer<Response>, ApiError> {
    let access = access(&app, &call.who, &call.body.room_id).await?;
    let joined = access.joined_members().await?.into_iter().map(|(user, member)| {
        // Clients rely on both keys. The empty text stands for "no picture" as in profiles; an
        // empty name would be shown.
        let shown = json!({
            "display_name": member.display_name,
            "avatar_url": member.avatar_url.unwrap_or_default(),
        });
        (user.to_string(), shown)
    });
    Ok(Answer::Other(json!({ "joined": Value::Object(joined.collect::<Map<_, _>>()) })))
}
