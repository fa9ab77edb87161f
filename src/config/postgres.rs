//! `[storage.postgres]`: how the database on other machines is reached.

use std::{path::PathBuf, time::Duration};

use blaupause_store::{ClientCertificate, PgError, PgSettings};
use serde::{Deserialize, Serialize};

use super::{Findings, Maybe, Period};

/// More connections than this are no faster, and PostgreSQL pays for each.
const CONNECTIONS_MAX: u16 = 64;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {
    /// A libpq connection string without a password.
    pub dsn: String,
    pub password_file: Maybe<PathBuf>,
    /// Authorities for the server's certificate. Without it connections are not encrypted.
    pub ca_file: Maybe<PathBuf>,
    /// Our certificate and its key, if the server wants one.
    pub client_cert_file: Maybe<PathBuf>,
    pub client_key_file: Maybe<PathBuf>,
    pub read_connections: u16,
    pub commit_connections: u16,
    /// How long requests wait for a database that is away.
    pub outage_wait: Period,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            dsn: String::new(),
            password_file: Maybe::none(),
            ca_file: Maybe::none(),
            client_cert_file: Maybe::none(),
            client_key_file: Maybe::none(),
            read_connections: 8,
            commit_connections: 4,
            outage_wait: Period::seconds(10),
        }
    }
}

impl Postgres {
    /// The section as the settings of the engine.
    pub fn settings(&self) -> PgSettings {
        let mut settings = PgSettings::new(self.dsn.clone());
        settings.password_file = self.password_file.path().map(Into::into);
        settings.ca_file = self.ca_file.path().map(Into::into);
        if let (Some(chain), Some(key)) =
            (self.client_cert_file.path(), self.client_key_file.path())
        {
            let (chain_file, key_file) = (chain.into(), key.into());
            settings.client_certificate = Some(ClientCertificate { chain_file, key_file });
        }
        settings.read_connections = self.read_connections;
        settings.commit_connections = self.commit_connections;
        settings.outage_wait = self.outage_wait.duration();
        settings
    }

    pub(super) fn check(&self, found: &mut Findings) {
        for (key, connections) in [
            ("storage.postgres.read_connections", self.read_connections),
            ("storage.postgres.commit_connections", self.commit_connections),
        ] {
            if !(1..=CONNECTIONS_MAX).contains(&connections) {
                found.error(key, format!("must be between 1 and {CONNECTIONS_MAX}"));
            }
        }
        if self.outage_wait.duration() < Duration::from_secs(1) {
            found.error("storage.postgres.outage_wait", "must be at least 1s");
        }
        if self.client_cert_file.path().is_some() != self.client_key_file.path().is_some() {
            found.error(
                "storage.postgres.client_cert_file",
                "client_cert_file and client_key_file belong together",
            );
        }
        if self.dsn.is_empty() {
            found.error("storage.postgres.dsn", "must be set if storage.engine is \"postgres\"");
            return;
        }
        match self.settings().check() {
            Ok(None) => {}
            Ok(Some(warning)) => found.warn("storage.postgres.ca_file", warning),
            Err(PgError::Settings { key, why }) => {
                found.error(&format!("storage.postgres.{key}"), why);
            }
            Err(other) => found.error("storage.postgres.dsn", other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(of: &Postgres) -> Findings {
        let mut found = Findings::default();
        of.check(&mut found);
        found
    }

    fn with(dsn: &str) -> Postgres {
        Postgres { dsn: dsn.into(), ..Postgres::default() }
    }

    #[test]
    fn what_cannot_work_is_named_by_its_key() {
        for (wrong, key) in [
            (Postgres::default(), "dsn"),
            (with("host=db password=secret"), "dsn"),
            (with("dbname=blaupause"), "dsn"),
            (with("hots=db"), "dsn"),
            (with("host=db sslmode=require"), "dsn"),
            (Postgres { password_file: path("/nowhere"), ..with("host=db") }, "password_file"),
            (Postgres { ca_file: path("/dev/null"), ..with("host=db") }, "ca_file"),
            (Postgres { client_key_file: path("/k"), ..with("host=/run") }, "client_cert_file"),
            (Postgres { read_connections: 0, ..with("host=/run") }, "read_connections"),
            (Postgres { commit_connections: 65, ..with("host=/run") }, "commit_connections"),
            (Postgres { outage_wait: Period::ZERO, ..with("host=/run") }, "outage_wait"),
        ] {
            let errors = found(&wrong).errors;
            assert_eq!(errors.len(), 1, "{key}: {errors:?}");
            assert_eq!(errors[0].0, format!("storage.postgres.{key}"), "{errors:?}");
            assert!(!errors[0].1.contains("secret"), "{errors:?}");
        }
    }

    #[test]
    fn connections_that_others_can_read_are_a_warning() {
        assert_eq!(found(&with("host=db")).warnings.len(), 1);
        for here in ["host=/run/postgresql", "host=localhost", "postgres://u@127.0.0.1/d"] {
            let found = found(&with(here));
            assert!(found.warnings.is_empty() && found.errors.is_empty(), "{here}");
        }
    }

    fn path(path: &str) -> Maybe<PathBuf> {
        let table: toml::Table = format!("path = {path:?}").parse().expect("TOML");
        table["path"].clone().try_into().expect("a path")
    }
}
