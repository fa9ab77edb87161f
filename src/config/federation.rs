//! `[federation]`: other servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
};

use blaupause_outbound::IdentityFiles;
use blaupause_policy::{FederationMode, MixedRooms, ServerPattern, ServerPolicy};
use ruma::{OwnedServerName, ServerName};
use serde::{Deserialize, Serialize};

use super::{Findings, Maybe, Net, Period};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Federation {
    /// With whom this server speaks at all.
    pub mode: Mode,
    /// Servers that are let in where the mode is `closed`: names, or `*.example.org`.
    pub allow: Vec<ServerPattern>,
    /// Servers that are refused in every mode.
    pub deny: Vec<ServerPattern>,
    /// What becomes of rooms with people of servers that are not let in.
    pub mixed_rooms: Mixed,
    /// Servers that are asked for keys of others who cannot be reached.
    pub notaries: Vec<OwnedServerName>,
    /// Certificate authorities in PEM that are believed beside the system's.
    pub ca_file: Maybe<PathBuf>,
    /// Whether the system's are.
    pub trust_system_roots: bool,
    /// Our certificate for servers that want to see one, with its chain, PEM …
    pub client_cert_file: Maybe<PathBuf>,
    /// … and its key.
    pub client_key_file: Maybe<PathBuf>,
    /// Addresses for other servers only; HTTPS with the certificate of `[tls]`.
    pub listen: Vec<SocketAddr>,
    /// Whoever connects there must show a certificate of one of these authorities.
    pub client_ca_file: Maybe<PathBuf>,
    /// Networks in which other servers may lie although they are not public.
    pub allowed_networks: Vec<Net>,
    /// Whether other servers may lie on any private address.
    pub allow_private_addresses: bool,
    /// Whether people are in a room of others before this server knows who else is.
    pub faster_joins: bool,
    /// Whether other servers learn the names of people's devices.
    pub device_names: bool,
    /// The pause after the first failed request; it doubles with each further one …
    pub retry_backoff_min: Period,
    /// … up to this.
    pub retry_backoff_max: Period,
    /// Host and port of servers that are not to be looked for.
    pub addresses: BTreeMap<OwnedServerName, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Off,
    #[default]
    Closed,
    Open,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mixed {
    #[default]
    Refuse,
    Quarantine,
    Allow,
}

impl Default for Federation {
    fn default() -> Self {
        Self {
            mode: Mode::Closed,
            allow: Vec::new(),
            deny: Vec::new(),
            mixed_rooms: Mixed::Refuse,
            notaries: Vec::new(),
            ca_file: Maybe::none(),
            trust_system_roots: true,
            client_cert_file: Maybe::none(),
            client_key_file: Maybe::none(),
            listen: Vec::new(),
            client_ca_file: Maybe::none(),
            allowed_networks: Vec::new(),
            allow_private_addresses: false,
            faster_joins: false,
            device_names: false,
            retry_backoff_min: Period::seconds(5),
            retry_backoff_max: Period::days(1),
            addresses: BTreeMap::new(),
        }
    }
}

impl Federation {
    /// The part of the section that is read again on SIGHUP.
    pub fn servers(&self) -> ServerPolicy {
        let mode = match self.mode {
            Mode::Off => FederationMode::Off,
            Mode::Closed => FederationMode::Closed,
            Mode::Open => FederationMode::Open,
        };
        let mixed_rooms = match self.mixed_rooms {
            Mixed::Refuse => MixedRooms::Refuse,
            Mixed::Quarantine => MixedRooms::Quarantine,
            Mixed::Allow => MixedRooms::Allow,
        };
        let (allow, deny) = (self.allow.clone().into(), self.deny.clone().into());
        ServerPolicy { mode, allow, deny, mixed_rooms }
    }

    /// Places that the operator names, as host and port.
    pub fn places(&self) -> BTreeMap<OwnedServerName, (String, u16)> {
        let places = self.addresses.iter();
        places.filter_map(|(server, place)| Some((server.clone(), host_and_port(place)?))).collect()
    }

    /// Who we are to other servers, if they want to see a certificate.
    pub fn identity(&self) -> Option<IdentityFiles> {
        let (cert, key) = self.client_cert_file.path().zip(self.client_key_file.path())?;
        Some(IdentityFiles { cert: cert.into(), key: key.into() })
    }

    fn check_certificates(&self, found: &mut Findings) {
        if self.client_cert_file.path().is_some() != self.client_key_file.path().is_some() {
            found.error(
                "federation.client_cert_file",
                "client_cert_file and client_key_file belong together",
            );
        }
        if self.client_ca_file.path().is_some() && self.listen.is_empty() {
            found.error(
                "federation.client_ca_file",
                "needs federation.listen: clients of people show no certificates",
            );
        }
        if !self.trust_system_roots && self.ca_file.path().is_none() && self.mode != Mode::Off {
            found.error(
                "federation.ca_file",
                "must be set, because federation.trust_system_roots is false",
            );
        }
    }

    pub(super) fn check(&self, own: Option<&ServerName>, found: &mut Findings) {
        self.check_servers(own, found);
        if self.retry_backoff_min < Period::seconds(1) {
            found.error("federation.retry_backoff_min", "must be at least 1s");
        }
        if self.retry_backoff_max < self.retry_backoff_min {
            found.error(
                "federation.retry_backoff_max",
                "must not be shorter than federation.retry_backoff_min",
            );
        }
        for (server, place) in &self.addresses {
            if host_and_port(place).is_none() {
                let text = format!("`{place}` is not host and port, like \"10.1.2.3:8448\"");
                found.error("federation.addresses", text);
            }
            let is_address = ServerPattern::is_address(server);
            if is_address {
                let text = format!("`{server}` is an address already");
                found.error("federation.addresses", text);
            }
        }
        self.check_certificates(found);
        if self.mode == Mode::Off {
            return;
        }
        let is_everything = self.allowed_networks.iter().any(Net::is_everything);
        for (key, is_wide) in [
            ("federation.allow_private_addresses", self.allow_private_addresses),
            ("federation.allowed_networks", is_everything),
        ] {
            if is_wide && self.mode == Mode::Open {
                found.warn(key, "lets other servers send requests into the inner network");
            }
        }
    }

    fn check_servers(&self, own: Option<&ServerName>, found: &mut Findings) {
        if !self.allow.is_empty() && self.mode != Mode::Closed {
            found
                .warn("federation.allow", "has an effect only where federation.mode is \"closed\"");
        }
        let twice: BTreeSet<_> = self.allow.iter().filter(|it| self.deny.contains(it)).collect();
        for pattern in twice {
            let text = format!("`{pattern}` is in federation.allow, too, and is refused");
            found.warn("federation.deny", text);
        }
        if self.mixed_rooms != Mixed::Refuse
            && self.mode == Mode::Closed
            && self.notaries.is_empty()
        {
            found.warn(
                "federation.mixed_rooms",
                "has little effect without federation.notaries: nobody says how to check what \
                 people of other servers said",
            );
        }
        if own.is_some_and(|own| self.notaries.iter().any(|notary| notary == own)) {
            found.error("federation.notaries", "names this server itself");
        }
        let servers = self.servers();
        let Some(own) = own else { return };
        for notary in &self.notaries {
            if self.mode != Mode::Off && servers.decide(own, notary).is_err() {
                let text = format!("`{notary}` is a server that this one does not speak with");
                found.error("federation.notaries", text);
            }
        }
    }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    ServerName::parse(text).ok()?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    fn errors(federation: &Federation) -> Vec<String> {
        let mut found = Findings::default();
        federation.check(Some(server_name!("own.example")), &mut found);
        found.errors.iter().map(|(key, _)| key.clone()).collect()
    }

    #[test]
    fn a_place_is_a_host_and_a_port() {
        assert_eq!(host_and_port("10.0.0.1:8448"), Some(("10.0.0.1".to_owned(), 8448)));
        assert_eq!(host_and_port("[fd00::1]:8448"), Some(("fd00::1".to_owned(), 8448)));
        assert_eq!(host_and_port("m.example:443"), Some(("m.example".to_owned(), 443)));
        for bad in ["", "m.example", ":1", "m.example:0", "m.example:x", "https://m.example:1"] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_cannot_work_is_said() {
        assert_eq!(errors(&Federation::default()), Vec::<String>::new());
        let without_roots = Federation { trust_system_roots: false, ..Federation::default() };
        assert_eq!(errors(&without_roots), ["federation.ca_file"]);
        let notaries = vec![server_name!("n.example").to_owned()];
        let closed = Federation { notaries: notaries.clone(), ..Federation::default() };
        assert_eq!(errors(&closed), ["federation.notaries"]);
        let open = Federation { notaries, mode: Mode::Open, ..Federation::default() };
        assert_eq!(errors(&open), Vec::<String>::new());
        let address = (server_name!("1.2.3.4").to_owned(), "nowhere".to_owned());
        let wrong = Federation { addresses: [address].into(), ..Federation::default() };
        assert_eq!(errors(&wrong), ["federation.addresses", "federation.addresses"]);
    }
}
