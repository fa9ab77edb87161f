//! `GET /_matrix/client/v3/initialSync`

use blaupause_sync::{InitialRoom, InitialSyncQuery};
use ruma::api::auth_scheme::AccessToken;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{ApiError, App, asked::Asked, client::access::reader};

/// Messages of each room if the client does not say.
const LIMIT_DEFAULT: u64 = 10;

#[derive(Deserialize)]
struct Query {
    limit: Option<u64>,
    #[serde(default)]
    archived: bool,
}

pub(crate) async fn initial_sync(app: App, asked: Asked<AccessToken>) -> Result<Value, ApiError> {
    let query: Query = asked.query()?;
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    let wanted = InitialSyncQuery { limit, archived: query.archived };
    let all = app.sync.initial_sync(&reader(&asked.who), wanted).await?;
    Ok(json!({
        "end": all.end,
        "rooms": all.rooms.into_iter().map(room).collect::<Vec<_>>(),
        "presence": all.presence,
        "account_data": all.account_data,
    }))
}

fn room(room: InitialRoom) -> Value {
    let mut shown = Map::new();
    let mut set = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    set("room_id", json!(room.room_id));
    set("membership", json!(room.membership.to_state()));
    set("visibility", json!(if room.is_published { "public" } else { "private" }));
    set("account_data", json!(room.account_data));
    if let Some(invite) = room.invite {
        set("invite", json!(invite));
    }
    if let Some(content) = room.content {
        // Oldest first: what was the start of a page that goes back is its end.
        let mut messages =
            json!({ "chunk": content.messages.chunk, "end": content.messages.start });
        if let Some(start) = content.messages.end {
            messages["start"] = json!(start);
        }
        set("messages", messages);
        set("state", json!(content.state));
    }
    Value::Object(shown)
}
