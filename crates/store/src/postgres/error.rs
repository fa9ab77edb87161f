use std::{error::Error, io, iter};

use tokio_postgres::error::SqlState;

use crate::StoreError;

/// Why the database cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PgError {
    /// The connection string or one of the files is wrong; nothing was asked of the network.
    #[error("{key}: {why}")]
    Settings { key: &'static str, why: String },
    /// Nothing answers, or it starts, stops, or has no connection left. May pass by itself.
    #[error("the database server is away: {0}")]
    Away(String),
    /// May pass by itself, when the standby is promoted.
    #[error(
        "the database is read-only: a standby, or default_transaction_read_only is on; name the \
         primary, or all hosts of the cluster"
    )]
    ReadOnly,
    #[error("the database server refuses the user or its password: {0}")]
    Credentials(String),
    #[error("there is no such database: {0}")]
    NoDatabase(String),
    #[error("the database server's certificate, or ours, is not accepted: {0}")]
    Tls(String),
    /// The user may connect but not do what is needed.
    #[error("the database user lacks a right: {0}")]
    Rights(String),
    #[error(
        "the schema in the database has version {found}, this program works with version {wanted}"
    )]
    Schema { found: i32, wanted: i32 },
    /// A schema of our name that is not ours.
    #[error("the database has a schema `blaupause` that this program did not make")]
    Foreign,
    #[error("another server uses this database: {owner}, since {since}")]
    InUse { owner: String, since: String },
    /// Another server has raised the epoch: this one must not write any more.
    #[error("another server has taken over this database: {owner}")]
    Fenced { owner: String },
    /// A promoted standby that lacked something, or a backup: not the database that we wrote to.
    #[error(
        "the database is at position {found}, but {known} was acknowledged: it has lost batches, \
         or it is not the primary"
    )]
    Behind { found: u64, known: u64 },
    /// A commit that was answered and may be lost in a failover.
    #[error("the standby may not have what was committed: {0}")]
    Doubtful(String),
    #[error("the database server says: {0}")]
    Other(String),
}

impl PgError {
    /// Whether waiting may help, without anybody changing the configuration.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Away(_) | Self::ReadOnly | Self::Behind { .. })
    }
}

/// The code of the exception in `commit_group`.
const FENCED: &str = "BP001";

impl From<tokio_postgres::Error> for PgError {
    fn from(error: tokio_postgres::Error) -> Self {
        let why = chain(&error);
        if let Some(db) = error.as_db_error() {
            return of_state(db.code(), db.message().to_owned());
        }
        if causes(&error).any(|cause| cause.is::<rustls::Error>()) {
            return Self::Tls(why);
        }
        let io = causes(&error).find_map(|cause| cause.downcast_ref::<io::Error>());
        match io {
            // What tokio-postgres makes of target_session_attrs=read-write.
            Some(io) if io.kind() == io::ErrorKind::PermissionDenied && io.get_ref().is_some() => {
                Self::ReadOnly
            }
            Some(io) if matches!(inner(io), Some(inner) if inner.is::<rustls::Error>()) => {
                Self::Tls(why)
            }
            Some(_) => Self::Away(why),
            None if error.is_closed() => Self::Away(why),
            None => Self::Other(why),
        }
    }
}

impl From<PgError> for StoreError {
    fn from(error: PgError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

fn of_state(code: &SqlState, message: String) -> PgError {
    match code.code() {
        FENCED => PgError::Fenced { owner: message },
        "28000" | "28P01" => PgError::Credentials(message),
        "3D000" => PgError::NoDatabase(message),
        "42501" => PgError::Rights(message),
        // read_only_sql_transaction: the primary was demoted under us
        "25006" => PgError::ReadOnly,
        code if is_away(code) => PgError::Away(message),
        code => PgError::Other(format!("{message} ({code})")),
    }
}

/// Classes and codes that say nothing about what we asked: connection (08), operator intervention
/// (57), a transaction ended for being idle (25P03) or in the way (40), and no connection left.
fn is_away(code: &str) -> bool {
    code.starts_with("08")
        || code.starts_with("57")
        || code.starts_with("40")
        || matches!(code, "25P03" | "53300" | "55P03")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    })
}

/// What an I/O error wraps is not among its causes.
fn inner(error: &io::Error) -> Option<&(dyn Error + Send + Sync + 'static)> {
    error.get_ref()
}

/// The error with its causes, each once.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut words: Vec<String> = Vec::new();
    for cause in causes(error) {
        let text = cause.to_string();
        if words.last().is_none_or(|last| !last.ends_with(&text)) {
            words.push(text);
        }
    }
    words.join(": ")
}
