//! Tags of rooms (spec: "Room Tagging"): account data of the room.

use ruma::{
    RoomId, UserId,
    events::tag::{TagEventContent, TagInfo, TagName, Tags},
};

use crate::{Accounts, AccountsError};

const TAG: &str = "m.tag";
/// Tags of one room.
const TAGS_MAX: usize = 100;
/// Bytes of a tag's name (spec).
const TAG_BYTES_MAX: usize = 255;

impl Accounts {
    /// The user's tags of a room.
    ///
    /// # Errors
    /// The store failed.
    pub async fn tags(&self, user: &UserId, room: &RoomId) -> Result<Tags, AccountsError> {
        let stored = self.account_data(user, Some(room), TAG).await?;
        Ok(parse(stored.as_ref().map(|json| json.get())))
    }

    /// Add a tag or replace it.
    ///
    /// # Errors
    /// The name is too long, the order is not between 0 and 1, there are too many tags, or the
    /// store failed.
    pub async fn set_tag(
        &self,
        user: &UserId,
        room: &RoomId,
        tag: &str,
        info: &TagInfo,
    ) -> Result<(), AccountsError> {
        if tag.is_empty() || tag.len() > TAG_BYTES_MAX {
            return Err(AccountsError::Invalid("tag"));
        }
        if info.order.is_some_and(|order| !(0.0..=1.0).contains(&order)) {
            return Err(AccountsError::Invalid("order must be between 0 and 1"));
        }
        let name = TagName::from(tag);
        self.change_account_data(user, Some(room), TAG, |old| -> Result<_, AccountsError> {
            let mut tags = parse(old);
            tags.insert(name.clone(), info.clone());
            if tags.len() > TAGS_MAX {
                return Err(AccountsError::TooMany("tags"));
            }
            Ok(Some(json(tags)))
        })
        .await?;
        Ok(())
    }

    /// Remove a tag; if it is not there, nothing happens.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_tag(
        &self,
        user: &UserId,
        room: &RoomId,
        tag: &str,
    ) -> Result<(), AccountsError> {
        let name = TagName::from(tag);
        self.change_account_data(user, Some(room), TAG, |old| -> Result<_, AccountsError> {
            let Some(old) = old else { return Ok(None) };
            let mut tags = parse(Some(old));
            Ok(Some(match tags.remove(&name) {
                Some(_) => json(tags),
                None => old.to_owned(),
            }))
        })
        .await?;
        Ok(())
    }
}

/// A client may have written anything as `m.tag`; what cannot be read counts as no tags.
fn parse(content: Option<&str>) -> Tags {
    let content = content.and_then(|json| serde_json::from_str::<TagEventContent>(json).ok());
    content.map(|content| content.tags).unwrap_or_default()
}

fn json(tags: Tags) -> String {
    serde_json::to_string(&TagEventContent::new(tags)).expect("tags are plain data")
}
