//! `GET /_matrix/client/v3/capabilities`

use std::collections::BTreeMap;

use blaupause_rooms::SUPPORTED_VERSIONS;
use ruma::api::client::discovery::get_capabilities::v3::{
    Capabilities, ChangePasswordCapability, GetLoginTokenCapability, ProfileFieldsCapability,
    Request, Response, RoomVersionStability, RoomVersionsCapability, ThirdPartyIdChangesCapability,
};

use crate::{ApiError, App, Call};

pub(crate) async fn get_capabilities(app: App, _: Call<Request>) -> Result<Response, ApiError> {
    let mut capabilities = Capabilities::new();
    let available: BTreeMap<_, _> = SUPPORTED_VERSIONS
        .into_iter()
        .map(|version| (version, RoomVersionStability::Stable))
        .collect();
    let default = app.rooms.settings().default_version.clone();
    capabilities.room_versions = RoomVersionsCapability::new(default, available);
    capabilities.change_password = ChangePasswordCapability::new(true);
    capabilities.thirdparty_id_changes = ThirdPartyIdChangesCapability::new(false);
    capabilities.get_login_token = GetLoginTokenCapability::new(true);
    capabilities.profile_fields = Some(ProfileFieldsCapability::new(true));
    Ok(Response::new(capabilities))
}
