//! Names to addresses.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use blaupause_outbound::AllowedNetworks;
use hickory_resolver::{TokioResolver, proto::rr::RData};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The port of servers that name none.
pub(crate) const PORT: u16 = 8448;
/// Services under which servers may be announced, the deprecated one last.
const SERVICES: [&str; 2] = ["_matrix-fed._tcp", "_matrix._tcp"];
/// Records of a service that are tried, the preferred ones first.
const RECORDS_MAX: usize = 8;
/// Addresses of a server that are tried.
const ADDRESSES_MAX: usize = 16;
/// Until one name server answers; there are two attempts.
const QUERY_TIME: Duration = Duration::from_secs(4);

/// Where a service is (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Service {
    pub priority: u16,
    /// The larger, the more is to be sent there.
    pub weight: std::cmp::Reverse<u16>,
    pub host: String,
    pub port: u16,
}

/// Who knows names.
#[derive(Clone)]
pub(crate) enum Dns {
    /// The system: its files and name servers for addresses, its name servers for services.
    System(Option<Arc<TokioResolver>>),
    #[cfg(test)]
    Fixed(Arc<tests::Zone>),
}

impl Dns {
    pub(crate) fn system() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(|mut builder| {
            builder.options_mut().timeout = QUERY_TIME;
            builder.options_mut().attempts = 2;
            builder.build()
        });
        match resolver {
            Ok(resolver) => Self::System(Some(Arc::new(resolver))),
            Err(error) => {
                tracing::warn!(%error, "no name server is known: SRV records will not be found");
                Self::System(None)
            }
        }
    }

    /// Records of a service, the preferred ones first.
    async fn services(&self, name: &str) -> Vec<Service> {
        let mut found = match self {
            Self::System(None) => Vec::new(),
            // With a dot at the end, so that no domain is appended to it.
            Self::System(Some(resolver)) => match resolver.srv_lookup(format!("{name}.")).await {
                Ok(found) => found.answers().iter().filter_map(|it| service(&it.data)).collect(),
                Err(error) => {
                    tracing::trace!(name, %error, "no service");
                    Vec::new()
                }
            },
            #[cfg(test)]
            Self::Fixed(zone) => zone.services.get(name).cloned().unwrap_or_default(),
        };
        // "." says that the service is not there.
        found.retain(|service| !service.host.is_empty());
        found.sort();
        found.truncate(RECORDS_MAX);
        found
    }

    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        match self {
            Self::System(_) => {
                let found = tokio::net::lookup_host((host, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            }
            #[cfg(test)]
            Self::Fixed(zone) => Ok(zone.addresses.get(host).cloned().unwrap_or_default()),
        }
    }
}

fn service(data: &RData) -> Option<Service> {
    let RData::SRV(record) = data else { return None };
    Some(Service {
        priority: record.priority,
        weight: std::cmp::Reverse(record.weight),
        host: record.target.to_utf8().trim_end_matches('.').to_owned(),
        port: record.port,
    })
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Nowhere {
    #[error("{0} has no address in a network that is allowed")]
    NotAllowed(String),
    #[error("{0} has no address")]
    Unknown(String),
}

/// Which port belongs to addresses.
#[derive(Clone, Debug)]
pub(crate) enum Ports {
    /// The one of the URL.
    Given,
    /// The one of the service's records, or [`PORT`].
    Announced,
    /// Always this place, which the operator named; it may be anywhere.
    Fixed(String, u16),
}

/// Gives connections their addresses. Nobody looks up a name again after the check, so that it
/// cannot change in between.
#[derive(Clone)]
pub(crate) struct Places {
    pub dns: Dns,
    pub allowed: AllowedNetworks,
    pub ports: Ports,
}

impl Places {
    pub(crate) async fn of(&self, host: &str) -> Result<Vec<SocketAddr>, Nowhere> {
        let mut found = match &self.ports {
            Ports::Given => self.allowed_at(host, 0).await?,
            Ports::Announced => self.announced(host).await?,
            Ports::Fixed(host, port) => {
                let found = self.dns.addresses(host).await.unwrap_or_default();
                found.into_iter().map(|address| SocketAddr::new(address, *port)).collect()
            }
        };
        if found.is_empty() {
            return Err(Nowhere::Unknown(host.to_owned()));
        }
        found.truncate(ADDRESSES_MAX);
        Ok(found)
    }

    async fn announced(&self, host: &str) -> Result<Vec<SocketAddr>, Nowhere> {
        for service in SERVICES {
            let records = self.dns.services(&format!("{service}.{host}")).await;
            if records.is_empty() {
                continue;
            }
            let mut found = Vec::new();
            let mut why = Nowhere::Unknown(host.to_owned());
            for record in records {
                match self.allowed_at(&record.host, record.port).await {
                    Ok(addresses) => found.extend(addresses),
                    Err(nowhere) => why = nowhere,
                }
            }
            return if found.is_empty() { Err(why) } else { Ok(found) };
        }
        self.allowed_at(host, PORT).await
    }

    async fn allowed_at(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Nowhere> {
        let found = self.dns.addresses(host).await.unwrap_or_default();
        let is_known = !found.is_empty();
        let found = found.into_iter().filter(|address| self.allowed.allow(*address));
        let found: Vec<_> = found.map(|address| SocketAddr::new(address, port)).collect();
        match found.is_empty() {
            true if is_known => Err(Nowhere::NotAllowed(host.to_owned())),
            true => Err(Nowhere::Unknown(host.to_owned())),
            false => Ok(found),
        }
    }
}

impl Resolve for Places {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let found = this.of(name.as_str()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Names that tests made up.
    #[derive(Default)]
    pub(crate) struct Zone {
        pub services: HashMap<String, Vec<Service>>,
        pub addresses: HashMap<String, Vec<IpAddr>>,
    }

    fn record(priority: u16, weight: u16, host: &str, port: u16) -> Service {
        Service { priority, weight: std::cmp::Reverse(weight), host: host.to_owned(), port }
    }

    fn zone() -> Zone {
        let addresses = [
            ("a.example", vec!["1.1.1.1"]),
            ("m1.example", vec!["1.1.1.2", "2606:4700::1"]),
            ("m2.example", vec!["1.1.1.3"]),
            ("inner.example", vec!["10.0.0.1", "127.0.0.1", "::1"]),
            ("both.example", vec!["10.0.0.1", "1.1.1.4"]),
        ];
        let addresses = addresses.map(|(name, found)| {
            (name.to_owned(), found.into_iter().map(|it| it.parse().expect("address")).collect())
        });
        let services = [
            (
                "_matrix-fed._tcp.new.example",
                vec![record(10, 1, "m2.example", 2), record(5, 1, "m1.example", 1)],
            ),
            ("_matrix._tcp.old.example", vec![record(0, 0, "m2.example", 9)]),
            ("_matrix-fed._tcp.two.example", vec![record(0, 0, "m1.example", 1)]),
            ("_matrix._tcp.two.example", vec![record(0, 0, "m2.example", 9)]),
            ("_matrix-fed._tcp.bad.example", vec![record(0, 0, "inner.example", 1)]),
            ("_matrix-fed._tcp.a.example", vec![record(0, 0, "", 0)]),
        ];
        let services = services.map(|(name, found)| (name.to_owned(), found));
        Zone { services: services.into(), addresses: addresses.into() }
    }

    async fn places(ports: Ports, host: &str) -> Result<Vec<String>, String> {
        let dns = Dns::Fixed(Arc::new(zone()));
        let places = Places { dns, allowed: AllowedNetworks::default(), ports };
        let found = places.of(host).await.map_err(|error| error.to_string())?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[tokio::test]
    async fn services_come_before_the_usual_port() {
        let of = |host: &'static str| places(Ports::Announced, host);
        let new = of("new.example").await.expect("it is announced");
        assert_eq!(new, ["1.1.1.2:1", "[2606:4700::1]:1", "1.1.1.3:2"], "by priority");
        assert_eq!(of("old.example").await.expect("the old way"), ["1.1.1.3:9"]);
        assert_eq!(of("two.example").await.expect("the new way first").len(), 2);
        assert_eq!(of("a.example").await.expect("a dot is no service"), ["1.1.1.1:8448"]);
        assert!(of("gone.example").await.is_err());
    }

    #[tokio::test]
    async fn nobody_leads_us_into_the_inner_network() {
        for ports in [Ports::Announced, Ports::Given] {
            let refused = places(ports.clone(), "inner.example").await.expect_err("refused");
            assert!(refused.contains("allowed"), "{refused}");
            assert_eq!(places(ports, "both.example").await.expect("the public one").len(), 1);
        }
        assert!(places(Ports::Announced, "bad.example").await.is_err(), "nor by a service");
        let named = Ports::Fixed("inner.example".to_owned(), 443);
        let named = places(named, "a.example").await.expect("the operator may");
        assert_eq!(named, ["10.0.0.1:443", "127.0.0.1:443", "[::1]:443"]);
    }
}
