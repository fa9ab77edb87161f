//! `[policy]`, `[push]`, `[well_known]`, `[turn]`, `[rtc]`:
//! the others.

use std::path::PathBuf;

use ruma::OwnedServerName;
use serde::{Deserialize, Serialize};

use super::{Findings, Maybe, Net, Period, server::check_url};

/// Connections to addresses that people name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outbound {
    /// Networks that may be reached although they are not public.
    pub allowed_networks: Vec<Net>,
}

impl Outbound {
    pub(super) fn check(&self, found: &mut Findings) {
        if self.allowed_networks.iter().any(Net::is_everything) {
            found.warn(
                "outbound.allowed_networks",
                "lets every user make the server ask any address of the inner network",
            );
        }
    }
}

/// House rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Who may create rooms.
    pub create_rooms: CreateRooms,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CreateRooms {
    #[default]
    Everyone,
    Admins,
}

/// What people are notified of, and the push gateways that clients name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Push {
    /// Whether a gateway may lie on a private address.
    pub allow_private_addresses: bool,
    /// Gateways learn that something happened, not what.
    pub strip_content: bool,
    /// Hosts of the only gateways that may be named, wherever they are; empty: any.
    pub allowed_gateways: Vec<String>,
    /// Whether people subscribe to threads and hear of no others (MSC4306).
    pub thread_subscriptions: bool,
    /// Whether everything encrypted is pushed (MSC4028).
    pub encrypted_events: bool,
    /// Whether names in the text of a message count as mentions (before MSC4210).
    pub legacy_mentions: bool,
}

impl Push {
    pub(super) fn check(&self, found: &mut Findings) {
        let is_host = |text: &str| {
            text.parse::<http::uri::Authority>().is_ok_and(|host| !host.as_str().contains('@'))
        };
        if let Some(bad) = self.allowed_gateways.iter().find(|host| !is_host(host)) {
            let text = format!("`{bad}` is not a host, perhaps with a port");
            found.error("push.allowed_gateways", text);
        }
        if self.allow_private_addresses && self.allowed_gateways.is_empty() {
            found.warn(
                "push.allow_private_addresses",
                "lets every user make the server ask any address of the inner network",
            );
        }
    }
}

/// What `/.well-known/matrix/…` answers. Not set: derived from `[server]`, or 404.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WellKnown {
    /// `m.homeserver.base_url` for clients.
    pub client: Maybe<String>,
    /// `m.server`, host and port, for other servers.
    pub server: Maybe<OwnedServerName>,
    pub support_page: Maybe<String>,
    pub support_email: Maybe<String>,
}

impl WellKnown {
    pub(super) fn check(&self, found: &mut Findings) {
        for (key, url) in
            [("well_known.client", &self.client), ("well_known.support_page", &self.support_page)]
        {
            if let Some(url) = url.text() {
                check_url(found, key, url);
            }
        }
        if self.support_email.text().is_some_and(|email| !email.contains('@')) {
            found.error("well_known.support_email", "is not an e-mail address");
        }
    }
}

/// Relays for calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Turn {
    /// `turn:…` and `turns:…`. Empty: no relay.
    pub uris: Vec<String>,
    /// The relay's `static-auth-secret`.
    pub shared_secret_file: Maybe<PathBuf>,
    /// How long the passwords made from it are good.
    pub lifetime: Period,
    /// The same name and password for everybody, if there is no shared secret.
    pub username: Maybe<String>,
    pub password_file: Maybe<PathBuf>,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            uris: Vec::new(),
            shared_secret_file: Maybe::none(),
            lifetime: Period::hours(1),
            username: Maybe::none(),
            password_file: Maybe::none(),
        }
    }
}

impl Turn {
    pub(super) fn check(&self, found: &mut Findings) {
        for uri in &self.uris {
            if !["turn:", "turns:", "stun:"].iter().any(|scheme| uri.starts_with(scheme)) {
                found.error(
                    "turn.uris",
                    format!("`{uri}` begins with none of turn:, turns:, stun:"),
                );
            }
        }
        let is_fixed = self.username.text().is_some();
        if is_fixed != self.password_file.path().is_some() {
            found.error("turn.password_file", "goes together with turn.username");
        }
        match (self.shared_secret_file.path(), is_fixed) {
            (None, false) if !self.uris.is_empty() => {
                found.error("turn.shared_secret_file", "must be set, because turn.uris is");
            }
            (Some(_), true) => {
                found.error("turn.username", "cannot be set together with turn.shared_secret_file");
            }
            _ => {}
        }
        if self.lifetime < Period::minutes(1) {
            found.error("turn.lifetime", "must be at least 1m");
        }
    }
}

/// Backends for calls with many people (MSC4143, MatrixRTC).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rtc {
    /// Services that let people into rooms of a LiveKit server, the preferred one first.
    pub livekit_service_urls: Vec<String>,
}

impl Rtc {
    pub(super) fn check(&self, found: &mut Findings) {
        for url in &self.livekit_service_urls {
            check_url(found, "rtc.livekit_service_urls", url);
        }
    }
}
