//! Registration tokens (spec: "Token-authenticated registration").

use blaupause_data::{DIRECTORY, DataError, Write};

use crate::{
    Accounts, AccountsError,
    rows::{RegistrationTokenRow, StoredRegistrationToken},
    secret,
};

/// Characters of a token.
const TOKEN_LENGTH_MAX: usize = 64;
/// Tokens listed.
const TOKENS_LISTED_MAX: u32 = 10_000;

/// A token to be made.
#[derive(Clone, Debug, Default)]
pub struct NewRegistrationToken {
    /// `None`: the server chooses.
    pub token: Option<String>,
    /// How many accounts may be made with it; `None`: any number.
    pub uses_max: Option<u64>,
    /// Milliseconds since the Unix epoch; `None`: never.
    pub expires_ms: Option<u64>,
}

/// A token made at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationTokenInfo {
    pub token: String,
    pub uses_max: Option<u64>,
    pub uses: u64,
    pub expires_ms: Option<u64>,
}

impl StoredRegistrationToken {
    pub(crate) fn is_valid(&self, now_ms: u64) -> bool {
        self.uses_max.is_none_or(|max| self.uses < max)
            && self.expires_ms.is_none_or(|end| now_ms < end)
    }
}

impl Accounts {
    /// Whether an account could be made with the token now.
    ///
    /// # Errors
    /// The store failed.
    pub async fn is_registration_token_valid(&self, token: &str) -> Result<bool, AccountsError> {
        if !is_well_formed(token) {
            return Ok(false);
        }
        if self.is_configured_token(token) {
            return Ok(true);
        }
        let found = self.data().get::<RegistrationTokenRow>(DIRECTORY, &token.to_owned()).await?;
        Ok(found.is_some_and(|found| found.is_valid(self.now_ms())))
    }

    pub(crate) fn is_configured_token(&self, token: &str) -> bool {
        // Hashes are compared, so that the time taken says nothing about the tokens.
        let wanted = secret::hash(token);
        let tokens = &self.settings().registration_tokens;
        tokens.iter().any(|token| secret::hash(token.reveal()) == wanted)
    }

    /// Make a token.
    ///
    /// # Errors
    /// The token is malformed or exists already, or the store failed.
    pub async fn create_registration_token(
        &self,
        new: NewRegistrationToken,
    ) -> Result<RegistrationTokenInfo, AccountsError> {
        let token = new.token.unwrap_or_else(|| self.data().env().random_text::<12>());
        if !is_well_formed(&token) {
            return Err(AccountsError::Invalid("registration token"));
        }
        let value =
            StoredRegistrationToken { uses_max: new.uses_max, uses: 0, expires_ms: new.expires_ms };
        let mut write = Write::new(DIRECTORY);
        write.require_absent::<RegistrationTokenRow>(DIRECTORY, &token);
        write.put_version::<RegistrationTokenRow>(DIRECTORY, &token, 1, &value);
        match self.data().commit(write).await {
            Ok(_) => Ok(RegistrationTokenInfo::new(token, &value)),
            Err(DataError::Conflict { .. }) => {
                Err(AccountsError::Invalid("the registration token exists already"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All tokens made at run time.
    ///
    /// # Errors
    /// The store failed.
    pub async fn registration_tokens(&self) -> Result<Vec<RegistrationTokenInfo>, AccountsError> {
        let page =
            self.data().list::<RegistrationTokenRow>(DIRECTORY, &(), TOKENS_LISTED_MAX).await?;
        let infos = page.rows.into_iter();
        Ok(infos.map(|(token, row)| RegistrationTokenInfo::new(token, &row.value)).collect())
    }

    /// Remove a token.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_registration_token(&self, token: &str) -> Result<(), AccountsError> {
        let mut write = Write::new(DIRECTORY);
        write.del::<RegistrationTokenRow>(DIRECTORY, &token.to_owned());
        self.data().commit(write).await?;
        Ok(())
    }
}

impl RegistrationTokenInfo {
    fn new(token: String, stored: &StoredRegistrationToken) -> Self {
        let StoredRegistrationToken { uses_max, uses, expires_ms } = *stored;
        Self { token, uses_max, uses, expires_ms }
    }
}

fn is_well_formed(token: &str) -> bool {
    (1..=TOKEN_LENGTH_MAX).contains(&token.len())
        && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
}
