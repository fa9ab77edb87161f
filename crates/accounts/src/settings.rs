//! What the operator decides.

use std::time::Duration;

use crate::{AppServices, EmailDomains, FailedLogins, PasswordRules, Secret};

/// Settings of this domain; `Default` is fit for production.
#[derive(Clone, Debug)]
pub struct Settings {
    pub registration: RegistrationMode,
    /// Registration tokens from the configuration, good for any number of accounts.
    pub registration_tokens: Vec<Secret>,
    /// Opens `/_synapse/admin/v1/register` for whoever holds it.
    pub registration_shared_secret: Option<Secret>,
    /// Whether clients may register as guests.
    pub guests: bool,
    /// The application services; some names are theirs alone.
    pub services: AppServices,
    /// Whether people sign in with a password kept here.
    pub password_login: bool,
    /// Characters of a new password.
    pub password_length_min: usize,
    /// What else a new password needs; `None`: nothing.
    pub password_rules: Option<PasswordRules>,
    /// Domains whose mail addresses are taken.
    pub email_domains: EmailDomains,
    /// Whether nobody registers without a mail address.
    pub email_needed: bool,
    pub argon2: Argon2Cost,
    /// Wrong passwords per account; `None`: any number.
    pub failed_logins: Option<FailedLogins>,
    /// Of access tokens that come with a refresh token. The others live until they are revoked.
    pub access_token_lifetime: Duration,
    /// A refresh token that is not used for so long ends; `None`: never.
    pub refresh_token_lifetime: Option<Duration>,
    /// Whether it is shown who is online.
    pub presence: bool,
    /// Whether a search finds everybody on the server, not only people one shares a room with.
    pub search_all_users: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            registration: RegistrationMode::Closed,
            registration_tokens: Vec::new(),
            registration_shared_secret: None,
            guests: false,
            services: AppServices::default(),
            password_login: true,
            password_length_min: 8,
            password_rules: None,
            email_domains: EmailDomains::default(),
            email_needed: false,
            argon2: Argon2Cost::default(),
            failed_logins: Some(FailedLogins { per_second: 0.1, burst: 5 }),
            access_token_lifetime: Duration::from_secs(5 * 60),
            refresh_token_lifetime: Some(Duration::from_secs(90 * 24 * 60 * 60)),
            presence: true,
            search_all_users: false,
        }
    }
}

/// Who may make an account for themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegistrationMode {
    /// Only operators make accounts.
    #[default]
    Closed,
    /// Whoever has a registration token.
    Token,
    /// Everybody.
    Open,
}

/// The cost of one password check with Argon2id. The default is above what OWASP asks for
/// (19 MiB, 2 passes) and RFC 9106's second choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Default for Argon2Cost {
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }
}
