//! What member events say about people.

use std::collections::BTreeSet;

use blaupause_accounts::{
    InviteAnswer, InviteRules,
    rows::{AccountDataRow, ProfileRow, StoredProfile},
};
use blaupause_data::ReadSet;
use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value, json};

use crate::{Rooms, RoomsError};

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
            return Err(RoomsError::Forbidden("people of other servers are invited one by one"));
        }
        let mut want = ReadSet::new();
        let slots: Vec<_> = users
            .iter()
            .map(|user| {
                let part = data.parts().user(user);
                let profile = want.get::<ProfileRow>(part, &());
                let permissions = InviteRules::TYPES.map(|kind| {
                    want.get::<AccountDataRow>(part, &(String::new(), kind.to_owned()))
                });
                (user, profile, permissions)
            })
            .collect();
        let got = want.run(data).await?;
        let mut contents = Vec::with_capacity(slots.len());
        for (user, profile, permissions) in slots {
            let [stable, unstable, lists] = permissions;
            let found = [got.one(stable)?, got.one(unstable)?, got.one(lists)?];
            let configs = found.each_ref().map(|row| row.as_ref()?.value.as_deref());
            let rules = InviteRules::parse(configs);
            if user != by && rules.answer(by) == InviteAnswer::Block {
                return Err(RoomsError::InviteBlocked(user.clone()));
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
