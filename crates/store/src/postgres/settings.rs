use std::{fmt, path::PathBuf, time::Duration};

use super::{PgError, connect::Connector};

/// The passwords of people are not among it, but what they write is.
pub(super) const EAVESDROPPERS: &str =
    "connections to the database are not encrypted, and it is on another machine";

/// Where the database is and how many connections it is asked over.
#[derive(Clone)]
pub struct PgSettings {
    /// A libpq connection string, `host=db1,db2 user=blaupause dbname=blaupause` or
    /// `postgres://…`, without a password. With several hosts the one that takes writes is used.
    pub dsn: String,
    /// File with the user's password; read anew for each connection. `None` if the server asks for
    /// none.
    pub password_file: Option<PathBuf>,
    /// File with the certificates (PEM) of the authorities that may have signed the server's
    /// certificate. `None`: connections are not encrypted.
    pub ca_file: Option<PathBuf>,
    /// Files with the certificate chain and key (PEM) that we show to the server.
    pub client_certificate: Option<ClientCertificate>,
    /// Connections for reads; at least 1. Each carries one read at a time.
    pub read_connections: u16,
    /// Connections for commits; at least 1. While one waits for the disks, the next group of
    /// batches is written on another.
    pub commit_connections: u16,
    /// How long reads and batches wait for a database that is away before they are answered
    /// `Unavailable`.
    pub outage_wait: Duration,
    /// How long a start waits for another server to let go of the database.
    pub lease_wait: Duration,
    /// How long a start waits for a database that is away; `None`: until it is there.
    pub start_wait: Option<Duration>,
}

/// What we show to a server that wants a certificate.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    pub chain_file: PathBuf,
    pub key_file: PathBuf,
}

impl PgSettings {
    /// The settings of a small server.
    pub fn new(dsn: impl Into<String>) -> Self {
        Self {
            dsn: dsn.into(),
            password_file: None,
            ca_file: None,
            client_certificate: None,
            read_connections: 8,
            commit_connections: 4,
            outage_wait: Duration::from_secs(10),
            lease_wait: Duration::from_secs(5),
            start_wait: None,
        }
    }

    /// Look for mistakes without asking the network: the result is a warning, or nothing.
    ///
    /// # Errors
    /// [`PgError::Settings`] if the database could never be opened with them.
    pub fn check(&self) -> Result<Option<&'static str>, PgError> {
        let connector = Connector::new(self)?;
        Ok(connector.is_open_to_eavesdroppers().then_some(EAVESDROPPERS))
    }
}

/// Without the connection string: somebody may have written a password into it.
impl fmt::Debug for PgSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgSettings")
            .field("read_connections", &self.read_connections)
            .field("commit_connections", &self.commit_connections)
            .finish_non_exhaustive()
    }
}
