//! What member events say about people.

use std::collections::BTreeSet;

use blaupause_accounts::rows::{AccountDataRow, ProfileRow, StoredProfile};
use blaupause_data::ReadSet;
use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value, json};

use crate::{Rooms, RoomsError};

/// Account data with which somebody says that they take no invitations (MSC4380), stable and
/// unstable name.
const INVITE_PERMISSION_TYPES: [&str; 2] =
    ["m.invite_permission_config", "org.matrix.msc4380.invite_permission_config"];

/// Adds name and avatar to the content of a member event, where it does not say them itself.
pub(crate) fn add_profile(content: &mut Map<String, Value>, profile: &StoredProfile) {
    for (name, value) in
        [("displayname", &profile.display_name), ("avatar_url", &profile.avatar_url)]
    {
        if let (Some(value), false) = (value, content.contains_key(name)) {
            content.insert(name.to_owned(), json!(value));
        }
    }
}

impl Rooms {
    /// A local user's profile; an empty one if they have none.
    pub(crate) async fn profile(&self, user: &UserId) -> Result<StoredProfile, RoomsError> {
        let row = self.data().get::<ProfileRow>(self.data().parts().user(user), &()).await?;
        Ok(row.map(|row| row.value).unwrap_or_default())
    }

    /// Content of the event with which a local user joins.
    pub(crate) async fn join_content(
        &self,
        user: &UserId,
    ) -> Result<Map<String, Value>, RoomsError> {
        let mut content = Map::new();
        content.insert("membership".to_owned(), json!("join"));
        add_profile(&mut content, &self.profile(user).await?);
        Ok(content)
    }

    /// Contents of the events with which people are invited, in one round trip.
    ///
    /// # Errors
    /// [`RoomsError::InviteBlocked`] by the first who takes no invitations;
    /// [`RoomsError::Forbidden`] for people of other servers.
    pub(crate) async fn invitations(
        &self,
        by: &UserId,
        users: &BTreeSet<OwnedUserId>,
        is_direct: bool,
    ) -> Result<Vec<(OwnedUserId, Value)>, RoomsError> {
        let data = self.data();
        if !users.iter().all(|user| data.is_local(user)) {
            return Err(RoomsError::Forbidden("people of other servers cannot be invited yet"));
        }
        let mut want = ReadSet::new();
        let slots: Vec<_> = users
            .iter()
            .map(|user| {
                let part = data.parts().user(user);
                let profile = want.get::<ProfileRow>(part, &());
                let permissions = INVITE_PERMISSION_TYPES.map(|kind| {
                    want.get::<AccountDataRow>(part, &(String::new(), kind.to_owned()))
                });
                (user, profile, permissions)
            })
            .collect();
        let got = want.run(data).await?;
        let mut contents = Vec::with_capacity(slots.len());
        for (user, profile, permissions) in slots {
            for permission in permissions {
                let permission = got.one(permission)?.and_then(|row| row.value);
                if user != by && permission.is_some_and(|json| blocks_invites(&json)) {
                    return Err(RoomsError::InviteBlocked(user.clone()));
                }
            }
            let mut content = Map::new();
            content.insert("membership".to_owned(), json!("invite"));
            if is_direct {
                content.insert("is_direct".to_owned(), json!(true));
            }
            if let Some(profile) = got.one(profile)? {
                add_profile(&mut content, &profile.value);
            }
            contents.push((user.clone(), Value::Object(content)));
        }
        Ok(contents)
    }
}

fn blocks_invites(json: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Config {
        default_action: String,
    }
    serde_json::from_str::<Config>(json).is_ok_and(|config| config.default_action == "block")
}
