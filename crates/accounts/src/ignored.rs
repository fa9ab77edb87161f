//! Whom a user does not want to hear from (spec: "Ignoring Users").

use std::{collections::HashSet, sync::Arc};

use ruma::{OwnedUserId, UserId, events::ignored_user_list::IgnoredUserListEventContent};

use crate::{Accounts, AccountsError};

const IGNORED_USER_LIST: &str = "m.ignored_user_list";

impl Accounts {
    /// Whom a user ignores. From memory, if it was asked for lately. A list that cannot be read
    /// counts as empty.
    ///
    /// # Errors
    /// The store failed.
    pub async fn ignored_users(
        &self,
        user: &UserId,
    ) -> Result<Arc<HashSet<OwnedUserId>>, AccountsError> {
        let key = user.to_owned();
        if let Some(ignored) = self.0.ignored.get(&key) {
            return Ok(ignored);
        }
        let ticket = self.0.ignored.ticket();
        let stored = self.account_data(user, None, IGNORED_USER_LIST).await?;
        let content = stored
            .and_then(|json| serde_json::from_str::<IgnoredUserListEventContent>(json.get()).ok());
        let ignored: HashSet<_> =
            content.into_iter().flat_map(|content| content.ignored_users.into_keys()).collect();
        let ignored = Arc::new(ignored);
        self.0.ignored.put(ticket, key, Arc::clone(&ignored));
        Ok(ignored)
    }
}
