use std::{fs, path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::time::timeout;
use tokio_postgres::{
    Client, Config, NoTls, SimpleQueryMessage,
    config::{Host, SslMode, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{PgError, PgSettings, task, warnings::Warnings};

/// For one connection to one host.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// After this a silent peer counts as gone. Longer than the stalls of a busy server, shorter than
/// what a client waits for an answer.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const KEEPALIVE_AFTER: Duration = Duration::from_secs(4);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);
const KEEPALIVES: u32 = 3;

/// For every connection. All statements look rows up by their key, in tables that may have grown a
/// thousandfold since the planner last counted them: no plan but the index is ever right. The
/// server must notice soon when we are gone, because the next server waits for our locks; and
/// nothing may be acknowledged that only lies in memory.
const SET_UP: &str = "\
    set search_path = blaupause;
    set enable_seqscan = off;
    set enable_bitmapscan = off;
    set enable_hashjoin = off;
    set enable_mergejoin = off;
    set enable_sort = off;
    set plan_cache_mode = force_generic_plan;
    set jit = off;
    set default_transaction_isolation = 'read committed';
    set statement_timeout = 0;
    set lock_timeout = 0;
    set idle_in_transaction_session_timeout = '10s';
    set tcp_keepalives_idle = 5;
    set tcp_keepalives_interval = 2;
    set tcp_keepalives_count = 3;
    set tcp_user_timeout = '10s';
    select set_config('synchronous_commit', 'on', false)
        where current_setting('synchronous_commit') in ('off', 'local');
    select pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' as read_only;";

/// Makes connections.
pub(super) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    settings: PgSettings,
}

impl Connector {
    pub fn new(settings: &PgSettings) -> Result<Self, PgError> {
        let wrong = |why: &str| PgError::Settings { key: "dsn", why: why.to_owned() };
        let mut config: Config = settings.dsn.parse().map_err(|error: tokio_postgres::Error| {
            // What it says besides may quote the string.
            wrong(&error.to_string())
        })?;
        if config.get_password().is_some() {
            return Err(wrong("the password belongs in password_file"));
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong("names no host"));
        }
        if let Some(file) = &settings.password_file {
            password(file)?;
        }
        let tls = tls(settings)?;
        if tls.is_none() && config.get_ssl_mode() == SslMode::Require {
            return Err(wrong("sslmode=require needs ca_file"));
        }
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        if config.get_hosts().len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config
            .connect_timeout(CONNECT_WAIT)
            .tcp_user_timeout(SILENCE_MAX)
            .keepalives_idle(KEEPALIVE_AFTER)
            .keepalives_interval(KEEPALIVE_EVERY)
            .keepalives_retries(KEEPALIVES);
        Ok(Self { config, tls, settings: settings.clone() })
    }

    /// Whether a connection crosses a network without encryption.
    pub fn is_open_to_eavesdroppers(&self) -> bool {
        let local = |host: &Host| match host {
            Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1"),
            Host::Unix(_) => true,
        };
        self.tls.is_none() && !self.config.get_hosts().iter().all(local)
    }

    /// Where to, without secrets.
    pub fn target(&self) -> String {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        let database = self.config.get_dbname().or(self.config.get_user());
        format!("{} on {}", database.unwrap_or("the default database"), hosts.join(", "))
    }

    /// A connection to a database that takes writes. `role` is shown in `pg_stat_activity`.
    pub async fn connect(&self, role: &str) -> Result<(Client, Warnings), PgError> {
        let mut config = self.config.clone();
        config.application_name(format!("blaupause {role}"));
        if let Some(file) = &self.settings.password_file {
            config.password(password(file)?);
        }
        let hosts = config.get_hosts().len().max(1) as u32;
        match timeout(CONNECT_WAIT * 2 * hosts, self.open(&config)).await {
            Ok(opened) => opened,
            Err(_) => Err(PgError::Away("no answer in time".into())),
        }
    }

    async fn open(&self, config: &Config) -> Result<(Client, Warnings), PgError> {
        let warnings = Warnings::default();
        let client = match &self.tls {
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                task::spawn(warnings.clone().drive(connection));
                client
            }
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                task::spawn(warnings.clone().drive(connection));
                client
            }
        };
        let said = client.simple_query(SET_UP).await?;
        let read_only = said.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get("read_only"),
            _ => None,
        });
        if read_only == Some("t") { Err(PgError::ReadOnly) } else { Ok((client, warnings)) }
    }
}

fn password(file: &Path) -> Result<String, PgError> {
    const KEY: &str = "password_file";
    let text = fs::read_to_string(file).map_err(|error| unusable(KEY, file, &error))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(unusable(KEY, file, &"it is empty"));
    }
    Ok(password.to_owned())
}

/// Servers prove who they are whenever connections are encrypted at all.
fn tls(settings: &PgSettings) -> Result<Option<MakeRustlsConnect>, PgError> {
    let Some(ca_file) = &settings.ca_file else {
        return match &settings.client_certificate {
            None => Ok(None),
            Some(_) => {
                let why = "is needed if we show a certificate".to_owned();
                Err(PgError::Settings { key: "ca_file", why })
            }
        };
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca_file", ca_file)? {
        roots.add(certificate).map_err(|error| unusable("ca_file", ca_file, &error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PgError::Other(error.to_string()))?
        .with_root_certificates(roots);
    let config = match &settings.client_certificate {
        None => builder.with_no_client_auth(),
        Some(ours) => {
            let key = PrivateKeyDer::from_pem_file(&ours.key_file)
                .map_err(|error| unusable("client_key_file", &ours.key_file, &error))?;
            let chain = certificates("client_cert_file", &ours.chain_file)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable("client_cert_file", &ours.chain_file, &error))?
        }
    };
    Ok(Some(MakeRustlsConnect::new(config)))
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, PgError> {
    let read = CertificateDer::pem_file_iter(file).map_err(|error| unusable(key, file, &error))?;
    let certificates: Vec<_> =
        read.collect::<Result<_, _>>().map_err(|error| unusable(key, file, &error))?;
    if certificates.is_empty() {
        return Err(unusable(key, file, &"it holds no certificate"));
    }
    Ok(certificates)
}

fn unusable(key: &'static str, file: &Path, error: &dyn std::fmt::Display) -> PgError {
    PgError::Settings { key, why: format!("cannot use {}: {error}", file.display()) }
}
