//! What the operator decides.

use std::sync::Arc;

use blaupause_accounts::Secret;

use crate::{Algorithm, Condition, Keys, SigningKey, Template};

/// Settings of this domain; `Default`: nobody comes in from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where people reach this server: `https://matrix.example.org`, without a slash at the end.
    /// Needed if there are providers.
    pub base_url: String,
    /// In the order in which people see them.
    pub providers: Vec<Provider>,
    /// `org.matrix.login.jwt`; `None`: not offered.
    pub jwt: Option<JwtLogin>,
}

/// Another identity provider (OpenID Connect Core 1.0).
#[derive(Clone, Debug)]
pub struct Provider {
    /// Stands in addresses and in the database: letters, digits, `-` and `_`. Never to be changed.
    pub id: String,
    /// What people read.
    pub name: String,
    /// `https://…`, exactly as the provider writes it. Together with a person's `sub` it says who
    /// they are, for ever.
    pub issuer: String,
    pub client_id: String,
    pub client_auth: ClientAuth,
    /// Beside `openid`.
    pub scopes: Vec<String>,
    /// How ID tokens may be signed.
    pub algorithms: Vec<Algorithm>,
    /// Whether more claims are asked for at the provider's userinfo endpoint.
    pub userinfo: bool,
    pub mapping: Mapping,
    /// Who may come in; `None`: everybody whom the provider knows.
    pub allow: Option<Condition>,
    pub newcomers: Newcomers,
    pub on_logout: OnLogout,
}

/// How we say to a provider who we are (OpenID Connect Core, section 9).
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// Not at all; only PKCE protects the code.
    None,
    /// `client_secret_basic`
    Basic(Secret),
    /// `client_secret_post`
    Post(Secret),
    /// `private_key_jwt`
    PrivateKey(SigningKey),
}

/// From claims to a person here.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Used once, when the account is made: user ids never change.
    pub localpart: Template,
    pub display_name: Option<Template>,
    /// Whether the display name is set anew at each sign-in.
    pub renew_display_name: bool,
    /// A mail address, which the provider must say it has verified.
    pub email: Option<Template>,
}

/// What happens when somebody signs in for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newcomers {
    /// An account is made for them.
    pub register: bool,
    /// If an account with their local part exists, which no provider's account belongs to yet, it
    /// becomes theirs.
    pub link: bool,
}

/// What a provider's back-channel logout ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnLogout {
    /// Devices and the account pages.
    #[default]
    Everything,
    /// The account pages only.
    Browsers,
}

/// `org.matrix.login.jwt`.
#[derive(Clone, Debug)]
pub struct JwtLogin {
    pub algorithm: Algorithm,
    pub keys: Arc<Keys>,
    /// `None`: any.
    pub issuer: Option<String>,
    /// The token must be for one of them; empty: for nobody in particular.
    pub audiences: Vec<String>,
    /// Gives the local part.
    pub localpart: Template,
    pub display_name: Option<Template>,
    /// Whether accounts are made.
    pub register: bool,
}
