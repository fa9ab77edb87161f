//! Leave to replace the cross-signing keys (spec: client-server API, "OAuth authentication"): OAuth
//! clients have no password to prove it with, so the person allows it on a page.

use std::time::Duration;

use blaupause_data::Write;
use ruma::UserId;

use super::rows::ResetRow;
use crate::{Accounts, AccountsError, registration::millis};

/// So long the client has to do it.
const RESET_WITHIN: Duration = Duration::from_secs(10 * 60);

impl Accounts {
    /// Let the user's clients replace the cross-signing keys once, soon.
    ///
    /// # Errors
    /// The store failed.
    pub async fn allow_reset(&self, user: &UserId) -> Result<(), AccountsError> {
        let part = self.part(user);
        let mut write = Write::new(part);
        write.put::<ResetRow>(part, &(), &self.now_ms().saturating_add(millis(RESET_WITHIN)));
        self.data().commit(write).await?;
        Ok(())
    }

    /// Whether the cross-signing keys may be replaced now.
    ///
    /// # Errors
    /// The store failed.
    pub async fn may_reset(&self, user: &UserId) -> Result<bool, AccountsError> {
        let until = self.data().get::<ResetRow>(self.part(user), &()).await?;
        Ok(until.is_some_and(|until| until.value > self.now_ms()))
    }

    /// They were replaced.
    ///
    /// # Errors
    /// The store failed.
    pub async fn reset_done(&self, user: &UserId) -> Result<(), AccountsError> {
        let part = self.part(user);
        let mut write = Write::new(part);
        write.del::<ResetRow>(part, &());
        self.data().commit(write).await?;
        Ok(())
    }
}
