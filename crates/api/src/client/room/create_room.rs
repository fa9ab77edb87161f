//! `POST /_matrix/client/v3/createRoom`

use blaupause_rooms::{CreateRoom, InitialState, Preset, RoomsError};
use ruma::{
    RoomAliasId,
    api::client::room::{
        Visibility,
        create_room::v3::{Request, Response, RoomPreset},
    },
    events::StateEventType,
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{ApiError, App, Call};

pub(crate) async fn create_room(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    if call.who.is_guest {
        return Err(ApiError::guest());
    }
    app.settings.create_rooms.must_include(&call.who)?;
    let body = call.body;
    let published = is_published(&body.visibility)?;
    if published {
        app.settings.publish_rooms.must_include(&call.who)?;
    }
    if !body.invite_3pid.is_empty() {
        return Err(RoomsError::ThirdPartyInvite.into());
    }
    let alias = body.room_alias_name.filter(|name| !name.is_empty());
    if let Some(name) = &alias
        && let Ok(alias) = RoomAliasId::parse(format!("#{name}:{}", app.data.server_name()))
    {
        app.accounts.check_alias(call.who.service.as_deref(), &alias)?;
    }
    for user in &body.invite {
        app.services.ask_for_user(user).await;
    }
    let request = CreateRoom {
        creator: call.who.user_id,
        version: body.room_version,
        preset: body.preset.as_ref().map(preset).transpose()?,
        published,
        creation_content: object(body.creation_content, "creation_content")?,
        power_levels: object(body.power_level_content_override, "power_level_content_override")?,
        initial_state: body
            .initial_state
            .iter()
            .map(|event| initial_state(event.json()))
            .collect::<Result<_, _>>()?,
        name: body.name,
        topic: body.topic,
        alias,
        invite: body.invite,
        is_direct: body.is_direct,
    };
    let room = app.rooms.create(request).await?;
    Ok(Response::new(room))
}

fn preset(preset: &RoomPreset) -> Result<Preset, ApiError> {
    match preset {
        RoomPreset::PrivateChat => Ok(Preset::Private),
        RoomPreset::TrustedPrivateChat => Ok(Preset::TrustedPrivate),
        RoomPreset::PublicChat => Ok(Preset::Public),
        _ => Err(ApiError::invalid_param("unknown preset")),
    }
}

pub(in crate::client) fn is_published(visibility: &Visibility) -> Result<bool, ApiError> {
    match visibility {
        Visibility::Public => Ok(true),
        Visibility::Private => Ok(false),
        _ => Err(ApiError::invalid_param("unknown visibility")),
    }
}

fn object<T>(raw: Option<Raw<T>>, name: &str) -> Result<Map<String, Value>, ApiError> {
    let Some(raw) = raw else { return Ok(Map::new()) };
    serde_json::from_str(raw.json().get())
        .map_err(|_| ApiError::bad_json(format!("`{name}` is an object")))
}

fn initial_state(json: &RawValue) -> Result<InitialState, ApiError> {
    #[derive(Deserialize)]
    struct Event {
        #[serde(rename = "type")]
        kind: StateEventType,
        #[serde(default)]
        state_key: String,
        content: Box<RawValue>,
    }
    let Event { kind, state_key, content } = serde_json::from_str(json.get())
        .map_err(|_| ApiError::bad_json("an initial state event has a type and a content"))?;
    Ok(InitialState { kind, state_key, content })
}
