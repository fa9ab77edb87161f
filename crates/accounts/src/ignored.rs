//! Whom a user does not want to hear from (spec: "Ignoring Users"), or be invited by.

use std::{collections::HashSet, sync::Arc};

use ruma::{OwnedUserId, UserId, events::ignored_user_list::IgnoredUserListEventContent};

use crate::{Accounts, AccountsError, InviteRules, rows::AccountDataRow};

const IGNORED_USER_LIST: &str = "m.ignored_user_list";

/// Whom a user does not want to hear from.
#[derive(Debug, Default)]
pub struct Unwanted {
    pub ignored: Arc<HashSet<OwnedUserId>>,
    pub invites: InviteRules,
}

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
        Ok(Arc::clone(&self.unwanted(user).await?.ignored))
    }

    /// Whom a user does not want to hear from, or be invited by. As [`Self::ignored_users`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn unwanted(&self, user: &UserId) -> Result<Arc<Unwanted>, AccountsError> {
        let key = user.to_owned();
        if let Some(known) = self.0.unwanted.get(&key) {
            return Ok(known);
        }
        let ticket = self.0.unwanted.ticket();
        let part = self.part(user);
        let kinds = [&[IGNORED_USER_LIST][..], &InviteRules::TYPES].concat();
        let keys: Vec<_> = kinds.into_iter().map(|kind| (String::new(), kind.to_owned())).collect();
        let rows = self.data().get_many::<AccountDataRow>(keys.iter().map(|key| (part, key)));
        let mut contents = rows.await?.into_iter().map(|row| row.and_then(|row| row.value));
        let ignored = contents.next().flatten();
        let ignored = ignored
            .and_then(|json| serde_json::from_str::<IgnoredUserListEventContent>(&json).ok());
        let ignored: HashSet<_> =
            ignored.into_iter().flat_map(|content| content.ignored_users.into_keys()).collect();
        let configs = [(); 3].map(|()| contents.next().flatten());
        let invites = InviteRules::parse(configs.each_ref().map(Option::as_deref));
        let unwanted = Arc::new(Unwanted { ignored: Arc::new(ignored), invites });
        self.0.unwanted.put(ticket, key, Arc::clone(&unwanted));
        Ok(unwanted)
    }
}
