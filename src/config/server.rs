//! `[server]`, `[tls]`, `[limits]`, `[metrics]`, `[log]`, `[storage]`: the process itself.

use std::{net::SocketAddr, path::PathBuf};

use ruma::OwnedServerName;
use serde::{Deserialize, Serialize};

use super::{Findings, Maybe, Net, Period, Size, postgres::Postgres};
use crate::tls::ListenerFiles;

/// Who the server is and where it listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The part after the colon of every user id. The one key without a default.
    pub name: Maybe<OwnedServerName>,
    /// Plain HTTP, for a proxy on the same machine or a test.
    pub listen: Vec<SocketAddr>,
    /// Where clients reach the server. Not set: they ask the server's name itself.
    pub public_base_url: Maybe<String>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Net>,
    /// Certificates (PEM) that are trusted for outgoing connections besides the system's.
    pub extra_ca_file: Maybe<PathBuf>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            name: Maybe::none(),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8008))],
            public_base_url: Maybe::none(),
            trusted_proxies: Vec::new(),
            extra_ca_file: Maybe::none(),
        }
    }
}

impl Server {
    pub(super) fn check(&self, found: &mut Findings) {
        if self.name.get().is_none() {
            found.error(
                "server.name",
                "must be set: the part after the colon of user ids, such as \"example.org\"",
            );
        }
        if let Some(url) = self.public_base_url.text() {
            check_url(found, "server.public_base_url", url);
        }
        if self.trusted_proxies.iter().any(Net::is_everything) {
            found.warn(
                "server.trusted_proxies",
                "trusts every address: anybody can forge the address that rate limits count",
            );
        }
    }
}

/// HTTPS by the server itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Tls {
    pub listen: Vec<SocketAddr>,
    /// The certificate chain, PEM, leaf first.
    pub cert_file: Maybe<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Maybe<PathBuf>,
    pub profile: TlsProfile,
}

/// Which ciphers and groups TLS offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsProfile {
    /// What BSI TR-02102-2 lists: AES-GCM, NIST curves.
    #[default]
    Bsi,
    /// Also ChaCha20-Poly1305 and X25519.
    Modern,
}

impl Tls {
    /// Certificate and key, if there are any.
    pub fn files(&self) -> Option<ListenerFiles> {
        let (cert, key) = self.cert_file.path().zip(self.key_file.path())?;
        Some(ListenerFiles { cert: cert.into(), key: key.into(), client_ca: None })
    }

    pub(super) fn check(&self, found: &mut Findings) {
        if self.listen.is_empty() {
            return;
        }
        for (key, file) in [("tls.cert_file", &self.cert_file), ("tls.key_file", &self.key_file)] {
            if file.path().is_none() {
                found.error(key, "must be set, because tls.listen is");
            }
        }
    }
}

/// Bounds on what one peer can ask of the HTTP listeners.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open connections over all listeners; further ones wait unaccepted.
    pub connections_max: usize,
    /// How long a connection may take until a request head is complete; also how long it may idle.
    pub header_timeout: Period,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Period,
    /// All headers of a request together.
    pub header_size_max: Size,
    /// Requests at once on one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// How long requests may go on after a stop was asked for.
    pub stop_timeout: Period,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            header_timeout: Period::seconds(75),
            handshake_timeout: Period::seconds(10),
            header_size_max: Size::kib(64),
            http2_streams_max: 128,
            stop_timeout: Period::seconds(30),
        }
    }
}

impl Limits {
    pub(super) fn check(&self, found: &mut Findings) {
        if self.connections_max == 0 {
            found.error("limits.connections_max", "must be at least 1");
        }
        if self.http2_streams_max == 0 {
            found.error("limits.http2_streams_max", "must be at least 1");
        }
        // hyper's read buffer is this size, and it insists on 8 KiB.
        if self.header_size_max < Size::kib(8) || self.header_size_max > Size::mib(1) {
            found.error("limits.header_size_max", "must be between 8 KiB and 1 MiB");
        }
        for (key, period) in [
            ("limits.header_timeout", self.header_timeout),
            ("limits.handshake_timeout", self.handshake_timeout),
        ] {
            if period < Period::seconds(1) {
                found.error(key, "must be at least 1s");
            }
        }
        if self.stop_timeout > Period::seconds(60) {
            found.error(
                "limits.stop_timeout",
                "must be at most 60s: after that the process ends anyway",
            );
        }
    }
}

/// The listener for operators: `/metrics`, `/health/live`, `/health/ready`. Never public.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    pub listen: Vec<SocketAddr>,
}

impl Metrics {
    pub(super) fn check(&self, found: &mut Findings) {
        if self.listen.iter().any(|address| address.ip().is_unspecified()) {
            found.warn("metrics.listen", "listens on every address; these pages need no login");
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub format: LogFormat,
    /// As in `tracing-subscriber`: `info`, `info,blaupause_rooms=debug`. The environment variable
    /// `BLAUPAUSE_LOG` goes before it.
    pub filter: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Human, filter: "info,ruma_state_res=warn".to_owned() }
    }
}

impl Log {
    pub(super) fn check(&self, found: &mut Findings) {
        if let Err(error) = crate::telemetry::parse_filter(&self.filter) {
            found.error("log.filter", error);
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    pub engine: Engine,
    pub path: PathBuf,
    /// Where the write-ahead log lies; in `path` if not set. Its fsync is the latency of a send.
    pub wal_path: Maybe<PathBuf>,
    /// Data kept in memory for reading, at most.
    pub cache_size: Size,
    /// Rows that wait in memory for being written to table files, at most.
    pub write_buffer_size: Size,
    /// Threads that write and merge table files.
    pub background_jobs: u16,
    /// Free space below which large writes and media are refused.
    pub free_space_low: Size,
    /// Free space below which all writes are refused.
    pub free_space_min: Size,
    /// A file that is given up when the disk is full.
    pub reserve_size: Size,
    /// Used if `engine` says so.
    pub postgres: Postgres,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    #[default]
    Rocksdb,
    Postgres,
    /// For tests: everything is gone at the stop.
    Memory,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            engine: Engine::Rocksdb,
            path: PathBuf::from("/var/lib/blaupause/db"),
            wal_path: Maybe::none(),
            cache_size: Size::mib(256),
            write_buffer_size: Size::mib(128),
            background_jobs: 4,
            free_space_low: Size::mib(2 << 10),
            free_space_min: Size::mib(512),
            reserve_size: Size::mib(128),
            postgres: Postgres::default(),
        }
    }
}

impl Storage {
    pub(super) fn check(&self, found: &mut Findings) {
        match self.engine {
            Engine::Memory => {
                found.warn("storage.engine", "keeps everything in memory: all is lost at the stop")
            }
            Engine::Rocksdb if self.path.as_os_str().is_empty() => {
                found.error("storage.path", "must be set");
            }
            Engine::Rocksdb => {}
            Engine::Postgres => self.postgres.check(found),
        }
        for (key, size) in [
            ("storage.cache_size", self.cache_size),
            ("storage.write_buffer_size", self.write_buffer_size),
        ] {
            if size < Size::mib(8) {
                found.error(key, "must be at least 8 MiB");
            }
        }
        if self.free_space_low < self.free_space_min {
            found.error("storage.free_space_low", "must not be less than free_space_min");
        }
        // With fewer than two, merging blocks flushing, and writers wait for both.
        if !(2..=64).contains(&self.background_jobs) {
            found.error("storage.background_jobs", "must be between 2 and 64");
        }
    }
}

/// `https://…` or `http://…`, with a host, and nothing behind the path.
pub(super) fn check_url(found: &mut Findings, key: &str, url: &str) {
    let parsed = url.parse::<http::Uri>();
    let good = parsed.as_ref().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
    });
    if !good {
        found.error(key, format!("`{url}` is not an address like \"https://matrix.example.org\""));
    } else if url.starts_with("http:") {
        found.warn(key, "is not https: fit for tests only");
    }
}
