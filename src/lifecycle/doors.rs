//! All addresses the server listens on, bound before anything slow begins: a port in use is known
//! at once.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::Context;
use serde::Serialize;

use crate::{config::Config, listen::Door, tls::TlsFiles};

pub struct Doors {
    /// For clients and other servers, plain and TLS.
    pub public: Vec<Door>,
    /// For other servers only.
    pub servers: Vec<Door>,
    pub operators: Vec<Door>,
    /// The certificates of the doors that have one.
    pub tls_files: Vec<TlsFiles>,
    pub addresses: Addresses,
}

/// The addresses in use; where the configuration has port 0, with the port that was free.
#[derive(Debug, Serialize)]
pub struct Addresses {
    listen: Vec<SocketAddr>,
    tls: Vec<SocketAddr>,
    federation: Vec<SocketAddr>,
    metrics: Vec<SocketAddr>,
}

impl Doors {
    /// Bind everything.
    ///
    /// # Errors
    /// If an address is in use or a certificate cannot be read.
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        let profile = config.tls.profile;
        let open = |files| TlsFiles::open(files, profile);
        let tls_files = config.tls.files().map(open).transpose()?;
        let server_files = config.server_listener_files().map(open).transpose()?;
        let plain = bind_all("server.listen", &config.server.listen, None)?;
        let tls = bind_all("tls.listen", &config.tls.listen, tls_files.as_ref())?;
        let (key, addresses) = ("federation.listen", &config.federation.listen);
        let servers = bind_all(key, addresses, server_files.as_ref())?;
        let operators = bind_all("metrics.listen", &config.metrics.listen, None)?;
        let of = |doors: &[Door]| doors.iter().map(|door| door.address).collect();
        let addresses = Addresses {
            listen: of(&plain),
            tls: of(&tls),
            federation: of(&servers),
            metrics: of(&operators),
        };
        let public = plain.into_iter().chain(tls).collect();
        let tls_files = tls_files.into_iter().chain(server_files).collect();
        Ok(Self { public, servers, operators, tls_files, addresses })
    }
}

fn bind_all(
    key: &str,
    addresses: &[SocketAddr],
    tls: Option<&TlsFiles>,
) -> anyhow::Result<Vec<Door>> {
    addresses.iter().map(|address| Door::bind(key, *address, tls.cloned())).collect()
}

impl Addresses {
    /// Tell that the server answers: one log line, and the ready file if one is wanted.
    ///
    /// # Errors
    /// If the ready file cannot be written.
    pub fn announce(&self, server_name: &str, ready_file: Option<&Path>) -> anyhow::Result<()> {
        let json = serde_json::to_string(self).expect("addresses have a JSON form");
        if let Some(file) = ready_file {
            // Renamed into place: whoever waits for the file never reads half of it.
            let mut fresh = file.as_os_str().to_owned();
            fresh.push(".new");
            fs::write(&fresh, &json)
                .and_then(|()| fs::rename(&fresh, file))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        tracing::info!(server_name, version = env!("CARGO_PKG_VERSION"), addresses = json, "ready");
        Ok(())
    }
}
