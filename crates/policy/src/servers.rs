//! Which other servers this one has anything to do with: the home of closed federation.

use std::{fmt, net::IpAddr, str::FromStr};

use ruma::ServerName;
use serde::{Deserialize, Serialize};

use crate::{MixedRooms, ServerList};

/// With whom this server speaks at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FederationMode {
    /// With nobody: there is only this server.
    Off,
    /// With the servers of a list. An empty list is nobody.
    #[default]
    Closed,
    /// With everybody who is not refused.
    Open,
}

/// One server, or all below a domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ServerPattern {
    /// A whole server name, lower case.
    Exactly(String),
    /// `*.example.org`: every host below a domain, at any port, but not the domain itself. Holds
    /// the domain with the dot in front.
    Below(String),
}

impl FromStr for ServerPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        let bad = || format!("`{text}` is neither a server name nor a pattern like *.example.org");
        if let Some(domain) = text.strip_prefix('*') {
            let below = domain.strip_prefix('.').ok_or_else(bad)?;
            let name = ServerName::parse(below).map_err(|_| bad())?;
            if name.port().is_some() || is_literal(name.host()) {
                return Err(bad());
            }
            return Ok(Self::Below(domain.to_owned()));
        }
        ServerName::parse(&text).map_err(|_| bad())?;
        Ok(Self::Exactly(text))
    }
}

impl fmt::Display for ServerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(name) => f.write_str(name),
            Self::Below(domain) => write!(f, "*{domain}"),
        }
    }
}

impl TryFrom<String> for ServerPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ServerPattern> for String {
    fn from(pattern: ServerPattern) -> Self {
        pattern.to_string()
    }
}

impl ServerPattern {
    /// Whether a server's name is an address.
    pub fn is_address(server: &ServerName) -> bool {
        is_literal(server.host())
    }
}

fn is_literal(host: &str) -> bool {
    host.starts_with('[') || host.parse::<IpAddr>().is_ok()
}

/// The operator's decision about other servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerPolicy {
    pub mode: FederationMode,
    /// Who is let in where the mode is [`FederationMode::Closed`].
    pub allow: ServerList,
    /// Who is refused in every mode.
    pub deny: ServerList,
    /// What becomes of rooms with people of other servers where the mode is
    /// [`FederationMode::Closed`].
    pub mixed_rooms: MixedRooms,
}

/// Why a server is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerDenied {
    /// Federation is off.
    Off,
    /// It is on the list of refused servers.
    Refused,
    /// It is not on the list of allowed servers.
    NotAllowed,
}

impl fmt::Display for ServerDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "this server does not federate",
            Self::Refused => "this server does not federate with that one",
            Self::NotAllowed => "this server federates with a list of servers only",
        })
    }
}

impl ServerPolicy {
    /// A server that speaks with nobody.
    pub fn off() -> Self {
        Self { mode: FederationMode::Off, ..Self::default() }
    }

    /// A server that speaks with everybody.
    pub fn open() -> Self {
        Self { mode: FederationMode::Open, ..Self::default() }
    }

    /// Whether `own` may have anything to do with `server`. A server may always deal with itself.
    ///
    /// # Errors
    /// Why not.
    pub fn decide(&self, own: &ServerName, server: &ServerName) -> Result<(), ServerDenied> {
        if own == server {
            return Ok(());
        }
        if self.mode == FederationMode::Off {
            return Err(ServerDenied::Off);
        }
        if self.deny.names_host_of(server) {
            return Err(ServerDenied::Refused);
        }
        let open = self.mode == FederationMode::Open;
        if open || self.allow.names(server) { Ok(()) } else { Err(ServerDenied::NotAllowed) }
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    fn policy(mode: FederationMode, allow: &[&str], deny: &[&str]) -> ServerPolicy {
        let patterns = |texts: &[&str]| -> ServerList {
            texts.iter().map(|text| text.parse::<ServerPattern>().expect("a pattern")).collect()
        };
        let (allow, deny) = (patterns(allow), patterns(deny));
        ServerPolicy { mode, allow, deny, ..ServerPolicy::default() }
    }

    fn decide(policy: &ServerPolicy, server: &str) -> Result<(), ServerDenied> {
        policy.decide(server_name!("own.example"), &ServerName::parse(server).expect("a name"))
    }

    #[test]
    fn an_empty_list_is_nobody() {
        let policy = ServerPolicy::default();
        assert_eq!(decide(&policy, "a.example"), Err(ServerDenied::NotAllowed));
    }

    #[test]
    fn the_own_name_is_always_allowed() {
        for policy in [
            ServerPolicy::off(),
            ServerPolicy::default(),
            policy(FederationMode::Open, &[], &["*.example", "own.example"]),
        ] {
            assert_eq!(decide(&policy, "own.example"), Ok(()));
        }
    }

    #[test]
    fn off_is_nobody_whatever_the_list_says() {
        let policy = policy(FederationMode::Off, &["a.example"], &[]);
        assert_eq!(decide(&policy, "a.example"), Err(ServerDenied::Off));
    }

    #[test]
    fn a_name_is_the_whole_name() {
        let policy = policy(FederationMode::Closed, &["a.example", "b.example:8449"], &[]);
        for allowed in ["a.example", "A.Example", "b.example:8449"] {
            assert_eq!(decide(&policy, allowed), Ok(()), "{allowed}");
        }
        for other in ["a.example:8449", "x.a.example", "aa.example", "b.example"] {
            assert_eq!(decide(&policy, other), Err(ServerDenied::NotAllowed), "{other}");
        }
    }

    #[test]
    fn a_star_is_everything_below_at_a_dot() {
        let policy = policy(FederationMode::Closed, &["*.amt.example"], &[]);
        for allowed in ["a.amt.example", "x.y.amt.example", "a.amt.example:8448", "A.AMT.example"] {
            assert_eq!(decide(&policy, allowed), Ok(()), "{allowed}");
        }
        for other in ["amt.example", "xamt.example", "a.amt.example.evil", "1.2.3.4"] {
            assert_eq!(decide(&policy, other), Err(ServerDenied::NotAllowed), "{other}");
        }
    }

    #[test]
    fn who_is_refused_is_refused_at_every_port_and_in_every_mode() {
        let open = policy(FederationMode::Open, &[], &["evil.example", "*.spam.example"]);
        for refused in ["evil.example", "evil.example:8449", "a.spam.example", "EVIL.example"] {
            assert_eq!(decide(&open, refused), Err(ServerDenied::Refused), "{refused}");
        }
        assert_eq!(decide(&open, "good.example"), Ok(()));
        let closed = policy(FederationMode::Closed, &["*.example"], &["evil.example"]);
        assert_eq!(decide(&closed, "evil.example"), Err(ServerDenied::Refused));
        assert_eq!(decide(&closed, "good.example"), Ok(()));
    }

    #[test]
    fn a_list_of_all_municipalities_is_looked_through_as_fast_as_a_short_one() {
        let names = (0..11_000).map(|number| format!("gemeinde{number}.example"));
        let allow = names.map(|name| name.parse::<ServerPattern>().expect("a name")).collect();
        let mode = FederationMode::Closed;
        let policy = ServerPolicy { mode, allow, ..ServerPolicy::default() };
        // Looked through one by one, these are a thousand million comparisons.
        for number in 0..100_000 {
            let name = format!("gemeinde{number}.example");
            assert_eq!(decide(&policy, &name).is_ok(), number < 11_000, "{name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["", "*", "*.", "*example", "a.*.example", "*.1.2.3.4", "*.a.example:1", "a b"] {
            assert!(bad.parse::<ServerPattern>().is_err(), "{bad}");
        }
        for good in ["1.2.3.4", "[::1]:8448", "localhost", "*.example", "*.a.example"] {
            let pattern: ServerPattern = good.parse().expect(good);
            assert_eq!(pattern.to_string(), good);
        }
    }
}
