//! Tokens that prove to a third party who a user is (spec: "OpenID").

use std::time::Duration;

use blaupause_data::{ReadSet, Write};
use ruma::{OwnedUserId, UserId};

use crate::{
    Accounts, AccountsError, Secret,
    registration::millis,
    rows::{AccountRow, OpenIdRow},
    secret::TokenKind,
};

/// A token is good for so long.
const OPENID_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Tokens of one user at once; a new one ends the oldest.
const OPENID_TOKENS_MAX: u32 = 100;

/// A token that proves to a third party who the user is. Good for nothing else.
#[derive(Clone, Debug)]
pub struct OpenIdToken {
    pub token: Secret,
    pub expires_in: Duration,
}

impl Accounts {
    /// Make a token.
    ///
    /// # Errors
    /// The store failed.
    pub async fn openid_token(&self, user: &UserId) -> Result<OpenIdToken, AccountsError> {
        let part = self.part(user);
        let now = self.now_ms();
        let page = self.data().list::<OpenIdRow>(part, &(), 2 * OPENID_TOKENS_MAX).await?;
        let mut old: Vec<_> =
            page.rows.into_iter().map(|(hash, ends)| (ends.value, hash)).collect();
        old.sort_unstable();
        let too_many = (old.len() + 1).saturating_sub(OPENID_TOKENS_MAX as usize);
        let mut write = Write::new(part);
        for (index, (ends, hash)) in old.iter().enumerate() {
            if *ends <= now || index < too_many {
                write.del::<OpenIdRow>(part, hash);
            }
        }
        let (text, hash) = TokenKind::OpenId.make(self.data().env(), part);
        write.put::<OpenIdRow>(part, &hash, &(now + millis(OPENID_LIFETIME)));
        self.data().commit(write).await?;
        Ok(OpenIdToken { token: Secret::new(text), expires_in: OPENID_LIFETIME })
    }

    /// Whom a token proves; `None` if it is unknown or too old. One read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn openid_user(&self, token: &str) -> Result<Option<OwnedUserId>, AccountsError> {
        let Some((part, hash)) = TokenKind::OpenId.parse(token) else { return Ok(None) };
        let mut want = ReadSet::new();
        let ends = want.get::<OpenIdRow>(part, &hash);
        let account = want.get::<AccountRow>(part, &());
        let got = want.run(self.data()).await?;
        let valid = got.one(ends)?.is_some_and(|ends| ends.value > self.now_ms());
        let account = got.one(account)?.filter(|account| account.deactivated_ms.is_none());
        Ok(account.filter(|_| valid).map(|account| account.value.user_id))
    }
}
