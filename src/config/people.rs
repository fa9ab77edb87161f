//! `[registration]`, `[login]`, `[oauth]`, `[rate_limits]`, `[presence]`, `[directory]`, `[server_notices]`:
//! what people may do.

use std::path::PathBuf;

use ruma::UserId;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Findings, Jwt, Maybe, Oidc, Period, Size};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registration {
    pub mode: RegistrationMode,
    /// One token per line; empty lines and lines that begin with `#` are skipped.
    pub tokens_file: Maybe<PathBuf>,
    /// Opens `/_synapse/admin/v1/register` for whoever holds this secret.
    pub shared_secret_file: Maybe<PathBuf>,
    /// Whether clients may register as guests.
    pub guests: bool,
    /// Whether nobody registers without a mail address that they have proved.
    pub email_needed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistrationMode {
    /// Only operators make accounts.
    #[default]
    Closed,
    /// Whoever has a token.
    Token,
    /// Everybody.
    Open,
}

impl Registration {
    /// `has_mail`: whether the server can send mail.
    pub(super) fn check(&self, has_mail: bool, found: &mut Findings) {
        if self.email_needed && !has_mail {
            found.error("registration.email_needed", "needs mail.server: nobody can prove one");
        }
        match (self.mode, self.tokens_file.path()) {
            (RegistrationMode::Token, None) => {
                found.error(
                    "registration.tokens_file",
                    "must be set, because registration.mode is \"token\"",
                );
            }
            (RegistrationMode::Open, _) => {
                found.warn(
                    "registration.mode",
                    "lets everybody who reaches the server make an account",
                );
            }
            (RegistrationMode::Closed, Some(_)) => {
                found.warn(
                    "registration.tokens_file",
                    "has no effect while registration.mode is \"closed\"",
                );
            }
            _ => {}
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// Whether people sign in with a password kept here.
    pub password: bool,
    pub password_length_min: usize,
    /// Of access tokens that come with a refresh token. The others live until logout.
    pub access_token_lifetime: Period,
    /// A refresh token that is not used for so long ends its session. `0s`: never.
    pub refresh_token_lifetime: Period,
    /// Addresses of clients to which people who signed in on our pages are sent back without
    /// being asked.
    pub trusted_clients: Vec<Url>,
    /// Identity providers.
    pub oidc: Vec<Oidc>,
    pub password_rules: PasswordRules,
    pub argon2: Argon2,
    pub jwt: Jwt,
}

/// What a new password needs beside its length (MSC2000).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordRules {
    pub enabled: bool,
    pub digit: bool,
    pub lowercase: bool,
    pub uppercase: bool,
    pub symbol: bool,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            password: true,
            password_length_min: 8,
            access_token_lifetime: Period::minutes(5),
            refresh_token_lifetime: Period::days(90),
            trusted_clients: Vec::new(),
            oidc: Vec::new(),
            jwt: Jwt::default(),
            password_rules: PasswordRules::default(),
            argon2: Argon2::default(),
        }
    }
}

/// The OAuth 2.0 server and its pages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OAuth {
    pub enabled: bool,
}

impl OAuth {
    /// `base_url`: where the server is seen from outside.
    pub(super) fn check(&self, base_url: Option<&str>, found: &mut Findings) {
        if !self.enabled {
            return;
        }
        let Some(base_url) = base_url else {
            let text = "needs server.public_base_url: clients are told whole addresses";
            return found.error("oauth.enabled", text);
        };
        let rest = base_url.split_once("://").map_or("", |(_, rest)| rest);
        if rest.trim_end_matches('/').contains(['/', '?', '#']) {
            let text = "must not have a path, because oauth.enabled puts pages at /account/";
            found.error("server.public_base_url", text);
        }
    }
}

/// Argon2id, the cost of one password check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Argon2 {
    pub memory: Size,
    pub passes: u32,
    pub lanes: u32,
}

impl Default for Argon2 {
    fn default() -> Self {
        Self { memory: Size::mib(64), passes: 3, lanes: 1 }
    }
}

/// Passwords are cut off before they are hashed: see accounts.
const PASSWORD_LENGTH_MAX: usize = 512;

impl Login {
    pub(super) fn check(&self, found: &mut Findings) {
        if !(1..=PASSWORD_LENGTH_MAX).contains(&self.password_length_min) {
            found.error(
                "login.password_length_min",
                format!("must be between 1 and {PASSWORD_LENGTH_MAX}"),
            );
        } else if self.password_length_min < 8 {
            found.warn("login.password_length_min", "below 8 characters is fit for tests only");
        }
        if self.access_token_lifetime < Period::seconds(1) {
            found.error("login.access_token_lifetime", "must be at least 1s");
        }
        if self.refresh_token_lifetime != Period::ZERO
            && self.refresh_token_lifetime < self.access_token_lifetime
        {
            found.error(
                "login.refresh_token_lifetime",
                "must not be shorter than login.access_token_lifetime",
            );
        }
        self.argon2.check(found);
    }
}

impl Argon2 {
    fn check(&self, found: &mut Findings) {
        let lanes = self.lanes;
        if !(1..=16).contains(&lanes) {
            found.error("login.argon2.lanes", "must be between 1 and 16");
        }
        if !(1..=100).contains(&self.passes) {
            found.error("login.argon2.passes", "must be between 1 and 100");
        }
        // RFC 9106 section 3.1: at least 8 KiB per lane.
        if self.memory < Size::kib(8 * u64::from(lanes.max(1))) || self.memory > Size::mib(4096) {
            found.error("login.argon2.memory", "must be between 8 KiB per lane and 4 GiB");
        } else if self.memory < Size::mib(19) {
            found.warn("login.argon2.memory", "below 19 MiB is fit for tests only");
        }
    }
}

/// How often somebody may do something: `per_second` on average, `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub per_second: f64,
    pub burst: u32,
}

const fn rate(per_second: f64, burst: u32) -> Rate {
    Rate { per_second, burst }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    pub enabled: bool,
    /// Per user.
    pub message: Rate,
    /// Per address.
    pub login: Rate,
    /// Failed logins, per account.
    pub login_failed: Rate,
    /// Failed logins, per address.
    pub login_failed_address: Rate,
    /// Access tokens that nobody has, per address.
    pub unknown_token: Rate,
    /// Per address.
    pub registration: Rate,
    /// Per user.
    pub join: Rate,
    /// Per user.
    pub invite: Rate,
    /// Per user.
    pub room_creation: Rate,
    /// Per user.
    pub presence: Rate,
    /// Searches in the user directory, per user.
    pub user_directory: Rate,
    /// Media uploads, per user.
    pub media_upload: Rate,
    /// Delayed events sent, cancelled or restarted, per user.
    pub delayed_events: Rate,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            enabled: true,
            message: rate(5.0, 50),
            login: rate(0.2, 20),
            login_failed: rate(0.1, 5),
            login_failed_address: rate(0.1, 20),
            unknown_token: rate(1.0, 100),
            registration: rate(0.1, 5),
            join: rate(0.5, 20),
            invite: rate(0.5, 50),
            room_creation: rate(0.1, 20),
            presence: rate(0.5, 10),
            user_directory: rate(1.0, 30),
            media_upload: rate(1.0, 50),
            delayed_events: rate(1.0, 20),
        }
    }
}

impl RateLimits {
    pub(super) fn check(&self, found: &mut Findings) {
        if !self.enabled {
            found.warn(
                "rate_limits.enabled",
                "is off: passwords can be guessed as fast as the machine hashes",
            );
        }
        for (name, rate) in self.all() {
            if !rate.per_second.is_finite() || rate.per_second <= 0.0 {
                found.error(&format!("rate_limits.{name}.per_second"), "must be above 0");
            }
            if rate.burst == 0 {
                found.error(&format!("rate_limits.{name}.burst"), "must be at least 1");
            }
        }
    }

    const fn all(&self) -> [(&'static str, Rate); 13] {
        [
            ("message", self.message),
            ("login", self.login),
            ("login_failed", self.login_failed),
            ("login_failed_address", self.login_failed_address),
            ("unknown_token", self.unknown_token),
            ("registration", self.registration),
            ("join", self.join),
            ("invite", self.invite),
            ("room_creation", self.room_creation),
            ("presence", self.presence),
            ("user_directory", self.user_directory),
            ("media_upload", self.media_upload),
            ("delayed_events", self.delayed_events),
        ]
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Presence {
    pub enabled: bool,
    /// Whether other servers see it, and theirs is shown here.
    pub federation: bool,
}

impl Default for Presence {
    fn default() -> Self {
        Self { enabled: true, federation: false }
    }
}

/// Public rooms and the search for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Directory {
    /// Who may list a room as public.
    pub publish: Publish,
    pub public_rooms_without_login: bool,
    pub public_rooms_over_federation: bool,
    /// Whether a search finds everybody on the server, not only people one shares a room with.
    pub search_all_users: bool,
    /// Whether people may ask who has an account here (MSC3720).
    pub account_status: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publish {
    #[default]
    Everyone,
    Admins,
    Nobody,
}

/// Messages of the operator, from an account that nobody signs in to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerNotices {
    pub enabled: bool,
    pub localpart: String,
    pub display_name: String,
    pub room_name: String,
}

impl Default for ServerNotices {
    fn default() -> Self {
        Self {
            enabled: false,
            localpart: "notices".to_owned(),
            display_name: "Server notices".to_owned(),
            room_name: "Notices of the server".to_owned(),
        }
    }
}

impl ServerNotices {
    pub(super) fn check(&self, found: &mut Findings) {
        if UserId::parse(format!("@{}:localhost", self.localpart)).is_err()
            || self.localpart.is_empty()
        {
            found.error(
                "server_notices.localpart",
                format!("`{}` is not the local part of a user id", self.localpart),
            );
        }
    }
}
