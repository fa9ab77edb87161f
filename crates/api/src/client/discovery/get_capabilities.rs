//! `GET /_matrix/client/v3/capabilities`

use std::collections::BTreeMap;

use blaupause_graph::OWNED_STATE_VERSIONS;
use blaupause_rooms::SUPPORTED_VERSIONS;
use ruma::{
    RoomVersionId,
    api::client::discovery::get_capabilities::v3::{
        AccountModerationCapability, Capabilities, ChangePasswordCapability,
        GetLoginTokenCapability, ProfileFieldsCapability, Request, Response, RoomVersionStability,
        RoomVersionsCapability, ThirdPartyIdChangesCapability,
    },
};

use serde_json::json;

use crate::{ApiError, App, Call, client::delayed_events, routes::Answer};

pub(crate) async fn get_capabilities(
    app: App,
    call: Call<Request>,
) -> Result<Answer<Response>, ApiError> {
    let mut capabilities = Capabilities::new();
    let stable = SUPPORTED_VERSIONS.into_iter().map(|it| (it, RoomVersionStability::Stable));
    let owned_state = OWNED_STATE_VERSIONS
        .iter()
        .filter_map(|(name, _)| RoomVersionId::try_from(*name).ok())
        .map(|version| (version, RoomVersionStability::Unstable));
    let available: BTreeMap<_, _> = stable.chain(owned_state).collect();
    let default = app.rooms.settings().default_version.clone();
    capabilities.room_versions = RoomVersionsCapability::new(default, available);
    capabilities.change_password = ChangePasswordCapability::new(true);
    capabilities.thirdparty_id_changes =
        ThirdPartyIdChangesCapability::new(app.settings.mail.is_some());
    capabilities.get_login_token = GetLoginTokenCapability::new(true);
    capabilities.profile_fields = Some(ProfileFieldsCapability::new(true));
    let delayed = delayed_events::capability(app.rooms.settings().delayed);
    for name in ["m.delayed_events", "org.matrix.msc4140.delayed_events"] {
        let set = capabilities.set(name, delayed.clone());
        set.map_err(|error| ApiError::internal(&error))?;
    }
    if call.who.is_admin {
        capabilities.account_moderation = AccountModerationCapability::new(true, true);
    }
    // ruma leaves out what has its default value; some clients ask for the key.
    let mut all =
        serde_json::to_value(&capabilities).map_err(|error| ApiError::internal(&error))?;
    all["m.change_password"] = json!({ "enabled": capabilities.change_password.enabled });
    Ok(Answer::Other(json!({ "capabilities": all })))
}
