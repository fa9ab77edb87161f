//! The one configuration file: its keys, their defaults, and what may stand in them.
//!
//! Every key has a default except `server.name`. Secrets are named by file. [`load`] reads a file
//! and finds everything that is wrong with it; [`crate::wiring`] turns the sections into the
//! settings of the domain crates, which know nothing of this file.

mod app_services;
mod content;
mod federation;
mod mail;
mod network;
mod people;
mod postgres;
mod problem;
mod retention;
mod secrets;
mod server;
mod sso;
mod units;

#[cfg(test)]
mod tests;

use std::path::Path;

use ruma::ServerName;
use serde::{Deserialize, Serialize};

pub use app_services::AppServices;
pub use content::{DelayedEvents, LegacyMedia, Media, Rooms, UrlPreview};
pub use federation::Federation;
pub use mail::{Mail, MailTls};
pub use network::{CreateRooms, Outbound, Policy, Push, Rtc, Turn, WellKnown};
pub use people::{
    Directory, Login, OAuth, PasswordRules, Presence, Publish, Rate, RateLimits, Registration,
    RegistrationMode, ServerNotices,
};
pub use problem::{Findings, Problem, Rejected, Source};
pub use retention::Retention;
pub use secrets::{Secret, Secrets};
pub use server::{Engine, Limits, Log, LogFormat, Metrics, Server, Storage, Tls, TlsProfile};
pub use sso::{Jwt, Oidc};
pub use units::{Maybe, Net, Period, Size};

/// The whole file. One field per section.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub server: Server,
    pub tls: Tls,
    pub limits: Limits,
    pub metrics: Metrics,
    pub log: Log,
    pub storage: Storage,
    pub mail: Mail,
    pub registration: Registration,
    pub login: Login,
    pub oauth: OAuth,
    pub rate_limits: RateLimits,
    pub policy: Policy,
    pub rooms: Rooms,
    pub directory: Directory,
    pub presence: Presence,
    pub delayed_events: DelayedEvents,
    pub retention: Retention,
    pub server_notices: ServerNotices,
    pub media: Media,
    pub legacy_media: LegacyMedia,
    pub url_preview: UrlPreview,
    pub outbound: Outbound,
    pub federation: Federation,
    pub push: Push,
    pub app_services: AppServices,
    pub well_known: WellKnown,
    pub turn: Turn,
    pub rtc: Rtc,
}

/// A configuration with which the server can start.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub secrets: Secrets,
    pub services: blaupause_accounts::AppServices,
    /// People who sign in elsewhere.
    pub sso: blaupause_sso::Settings,
    pub warnings: Vec<Problem>,
}

/// Read a configuration file.
///
/// # Errors
/// Everything that is wrong with it, with file, line and key; after a wrong type or an unknown key
/// only that, because the rest has not been understood then.
pub fn load(file: &Path) -> Result<Loaded, Rejected> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let text = format!("cannot read the configuration: {error}");
        Rejected(vec![Problem { file: file.to_owned(), line: None, key: String::new(), text }])
    })?;
    parse(&Source { file, text: &text })
}

fn parse(source: &Source<'_>) -> Result<Loaded, Rejected> {
    let config: Config = toml::from_str(source.text)
        .map_err(|error| Rejected(vec![source.parse_problem(&error)]))?;
    let mut found = Findings::default();
    config.check(&mut found);
    let secrets = Secrets::read(&config, &mut found);
    let services =
        config.app_services.read(config.server.name.get().map(|name| &**name), &mut found);
    let (login, base_url) = (&config.login, config.server.public_base_url.text());
    let sso = sso::read(&login.oidc, &login.jwt, base_url, &mut found);
    let problems = |of: &[(String, String)]| -> Vec<Problem> {
        of.iter().map(|(key, text)| source.problem(key, text)).collect()
    };
    if !found.errors.is_empty() {
        return Err(Rejected(problems(&found.errors)));
    }
    Ok(Loaded { warnings: problems(&found.warnings), config, secrets, services, sso })
}

impl Config {
    /// The server's name.
    ///
    /// # Panics
    /// If it is not set: [`load`] refuses such a file.
    pub fn server_name(&self) -> &ServerName {
        self.server.name.get().expect("load() refuses a file without server.name")
    }

    fn check(&self, found: &mut Findings) {
        self.server.check(found);
        self.tls.check(found);
        self.limits.check(found);
        self.metrics.check(found);
        self.log.check(found);
        self.storage.check(found);
        self.mail.check(self.server.public_base_url.text(), found);
        self.registration.check(self.mail.server.text().is_some(), found);
        self.login.check(found);
        self.oauth.check(self.server.public_base_url.text(), found);
        self.rate_limits.check(found);
        self.rooms.check(found);
        self.delayed_events.check(found);
        self.retention.check(found);
        self.server_notices.check(found);
        self.media.check(found);
        self.legacy_media.check(found);
        self.url_preview.check(found);
        self.outbound.check(found);
        self.federation.check(self.server.name.get().map(|name| &**name), found);
        self.push.check(found);
        self.well_known.check(found);
        self.turn.check(found);
        self.rtc.check(found);
        self.check_together(found);
        self.check_files(found);
    }

    /// What concerns two sections.
    fn check_together(&self, found: &mut Findings) {
        if self.server.listen.is_empty() && self.tls.listen.is_empty() {
            found.error("server.listen", "neither server.listen nor tls.listen names an address");
        }
        let open = self.server.listen.iter().any(|address| !address.ip().is_loopback());
        if open && self.server.trusted_proxies.is_empty() {
            found.warn(
                "server.listen",
                "takes plain HTTP from other machines, and server.trusted_proxies names no proxy",
            );
        }
        let own = &self.server.listen;
        let shared = |others: &[std::net::SocketAddr]| {
            others.iter().find(|a| a.port() != 0 && own.contains(a)).copied()
        };
        if let Some(address) = shared(&self.tls.listen) {
            found.error("tls.listen", format!("{address} is also in server.listen"));
        }
        if let Some(address) = shared(&self.metrics.listen) {
            found.error("metrics.listen", format!("{address} is also in server.listen"));
        }
        if let Some(address) = shared(&self.federation.listen) {
            found.error("federation.listen", format!("{address} is also in server.listen"));
        }
        if !self.federation.listen.is_empty() && self.tls.files().is_none() {
            found.error("federation.listen", "needs tls.cert_file and tls.key_file");
        }
    }

    /// What the doors for other servers read; none if there are no such doors.
    pub fn server_listener_files(&self) -> Option<crate::tls::ListenerFiles> {
        let files = self.tls.files().filter(|_| !self.federation.listen.is_empty())?;
        let client_ca = self.federation.client_ca_file.path().map(Into::into);
        Some(crate::tls::ListenerFiles { client_ca, ..files })
    }

    /// Files that hold no secret text but must be there and be what they should.
    fn check_files(&self, found: &mut Findings) {
        if let Some(file) = self.server.extra_ca_file.path()
            && let Err(error) = crate::tls::read_certs(file)
        {
            found.error("server.extra_ca_file", error.to_string());
        }
        if let Some(file) = self.federation.ca_file.path()
            && let Err(error) = crate::tls::read_certs(file)
        {
            found.error("federation.ca_file", error.to_string());
        }
        if let Some(files) = self.tls.files()
            && let Err(error) = crate::tls::server_config(&files, self.tls.profile)
        {
            let at = if error.about_key() { "tls.key_file" } else { "tls.cert_file" };
            found.error(at, error.to_string());
        } else if let Some(files) = self.server_listener_files()
            && let Err(error) = crate::tls::server_config(&files, self.tls.profile)
        {
            found.error("federation.client_ca_file", error.to_string());
        }
        if let Some(files) = self.federation.identity()
            && let Err(error) = crate::tls::identity_works(files, self.tls.profile)
        {
            found.error("federation.client_cert_file", error.to_string());
        }
    }
}
