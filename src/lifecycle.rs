//! Start, run, stop: the order in which things happen.
//!
//! Start: lock, addresses, store, domains, workers, listeners, ready. Stop: not ready, no new
//! connections, long polls answer, requests end, workers end, store closes. Every step of the
//! server is one batch, so even the hard end loses nothing that was acknowledged. A store that can
//! never write again stops the server too: whoever restarts it makes the store read back its log.

mod doors;
mod signals;

use std::{path::Path, time::Duration};

use anyhow::Context;
use blaupause_store::RocksLock;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::{doors::Doors, signals::Signals};
use crate::{
    config::{self, Engine, Limits, Loaded},
    listen::{Door, Serving},
    metrics::Telling,
    tls::TlsFiles,
    wiring::{self, Opening, Server},
};

/// After a stop was asked for, the process ends at the latest after this.
const STOP_HARD: Duration = Duration::from_secs(60);

/// Files and sockets we ask the system for: one per connection, and the store's.
const OPEN_FILES_WANTED: u64 = 65_536;

/// Run the server until it is told to stop. `cut_damaged_log`: see [`Opening`].
///
/// # Errors
/// If something of the start fails, or the hard end was needed.
pub fn run(
    config_file: &Path,
    loaded: &Loaded,
    ready_file: Option<&Path>,
    cut_damaged_log: bool,
) -> anyhow::Result<()> {
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("blaupause")
        .build()
        .context("cannot start the threads")?;
    let outcome = runtime.block_on(serve(config_file, loaded, ready_file, cut_damaged_log));
    // What did not end in time must not hold up the end of the process.
    runtime.shutdown_background();
    outcome
}

async fn serve(
    config_file: &Path,
    loaded: &Loaded,
    ready_file: Option<&Path>,
    cut_damaged_log: bool,
) -> anyhow::Result<()> {
    let config = &loaded.config;
    // First, so that a signal during the start stops the server instead of killing it half open.
    let mut signals = Signals::install()?;
    // Before the addresses: that another server runs says more than that one is taken.
    let lock = match config.storage.engine {
        Engine::Rocksdb => Some(RocksLock::take(&config.storage.path).context("storage.path")?),
        Engine::Postgres | Engine::Memory => None,
    };
    let opening = Opening { lock, cut_damaged_log };
    let doors = Doors::bind(config)?;
    let telling = Telling::new();
    let operators_stop = CancellationToken::new();
    open_operators(&config.limits, &telling, doors.operators, operators_stop.clone());

    let (closing, stop) = (CancellationToken::new(), CancellationToken::new());
    let server = tokio::select! {
        built = wiring::build(loaded, opening, stop, &telling) => built?,
        // A database on another machine may be waited for without end.
        () = signals.stop_wanted(|| {}) => {
            tracing::info!("stopped before the start was complete");
            return Ok(());
        }
    };
    let serving = Serving::new(&config.limits, closing.clone(), telling.connections.clone());
    for door in doors.public {
        let answer = server.answer();
        serving.open(door, answer);
    }
    for door in doors.servers {
        serving.open(door, server.answer_servers());
    }
    telling.set_ready(true);
    doors.addresses.announce(config.server_name().as_str(), ready_file)?;

    let failed = tokio::select! {
        () = signals.stop_wanted(|| reload(config_file, &doors.tls_files, &server)) => false,
        () = server.failed() => true,
    };
    let softly = stop_softly(&config.limits, &telling, &closing, &serving, server);
    let soft = tokio::select! {
        ended = timeout(STOP_HARD, softly) => ended.is_ok(),
        () = signals.stop_wanted(|| {}) => false,
    };
    operators_stop.cancel();
    anyhow::ensure!(soft, "stopped hard: some work did not end; acknowledged writes are safe");
    anyhow::ensure!(!failed, "stopped because the store cannot write any more; the log says why");
    tracing::info!("stopped");
    Ok(())
}

/// What may change while the server runs: the certificates, and with whom it speaks and how.
fn reload(config_file: &Path, tls: &[TlsFiles], server: &Server) {
    for files in tls {
        match files.reload() {
            Ok(()) => tracing::info!("read the certificate again"),
            Err(error) => tracing::error!(%error, "kept the old certificate"),
        }
    }
    match config::load(config_file) {
        Ok(loaded) => match server.reload(&loaded.config) {
            Ok(()) => tracing::info!("read again with which servers this one speaks"),
            Err(error) => {
                tracing::error!(error = %format!("{error:#}"), "kept the old ways to other servers");
            }
        },
        Err(error) => tracing::error!(%error, "kept the old list of servers"),
    }
}

/// The operators' pages answer from the start to the very end: a slow start is live but not ready.
fn open_operators(limits: &Limits, telling: &Telling, doors: Vec<Door>, stop: CancellationToken) {
    let serving = Serving::new(limits, stop, telling.connections.clone());
    for door in doors {
        let telling = telling.clone();
        serving.open(door, move |_, request| std::future::ready(telling.answer(&request)));
    }
}

async fn stop_softly(
    limits: &Limits,
    telling: &Telling,
    closing: &CancellationToken,
    serving: &Serving,
    server: Server,
) {
    tracing::info!("stopping");
    telling.set_ready(false);
    // Ends accepting and keep-alive. Requests go on, and so does what they may wait for.
    closing.cancel();
    server.answer_now();
    if timeout(limits.stop_timeout.duration(), serving.ended()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    server.close().await;
}

/// The usual limit of 1,024 open files is less than a busy hour's connections. What the system
/// does not give is said, not fatal.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let current = now.current.unwrap_or(u64::MAX);
    let wanted = OPEN_FILES_WANTED.min(now.maximum.unwrap_or(u64::MAX));
    if current < wanted
        && let Err(error) =
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum })
    {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    if current.max(wanted) < OPEN_FILES_WANTED {
        tracing::warn!(
            limit = current.max(wanted),
            wanted = OPEN_FILES_WANTED,
            "few files may be open at once; raise LimitNOFILE in the service"
        );
    }
}
