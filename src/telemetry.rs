//! Logs: for people or as JSON, one event per line on standard error.

use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

use crate::config::{Log, LogFormat};

/// Overrides `log.filter` for one start.
const FILTER_VARIABLE: &str = "BLAUPAUSE_LOG";

/// At `debug` the database's driver writes every row into the log: no filter may ask for that.
const NEVER_ROWS: [&str; 2] = ["tokio_postgres=info", "tokio_postgres::query=info"];

/// Check a filter such as `info,blaupause_rooms=debug`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_filter(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|error| format!("`{filter}` is not a log filter: {error}"))
}

/// Start logging. To be called once, before anything else is started.
///
/// # Errors
/// If the filter in the environment is wrong or logging was started before.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| log.filter.clone());
    let mut filter = parse_filter(&filter).map_err(anyhow::Error::msg)?;
    for never in NEVER_ROWS {
        filter = filter.add_directive(never.parse()?);
    }
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_writer(std::io::stderr);
    match log.format {
        // No colors: the journal and log files show them as garbage.
        LogFormat::Human => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
