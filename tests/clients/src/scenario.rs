//! One test: a server of its own, an end to waiting, and the server's log if it fails.

use std::{panic::AssertUnwindSafe, sync::Once, time::Duration};

use anyhow::{Result, anyhow};
use futures_util::FutureExt as _;
use tokio::time;
use tracing_subscriber::EnvFilter;

use crate::Server;

/// A whole test, with everything it waits for.
const LENGTH_MAX: Duration = Duration::from_secs(180);

/// Run a test against a server of its own.
///
/// # Panics
/// If the test fails, panics or takes longer than three minutes; the end of the server's log is
/// printed first. `BLAUPAUSE_LOG` sets what the server logs, `RUST_LOG` what the library does.
pub async fn scenario(test: impl AsyncFnOnce(&Server) -> Result<()>) {
    let server = Server::start().await.expect("the server starts");
    if let Some(failure) = failure_of(test(&server)).await {
        panic!("{failure:?}\n\n--- the end of the server's log\n{}", server.log_tail());
    }
}

/// Run a test to its end, whichever it is; `None` if it passed.
pub(crate) async fn failure_of(test: impl Future<Output = Result<()>>) -> Option<anyhow::Error> {
    start_logging();
    let run = AssertUnwindSafe(test).catch_unwind();
    match time::timeout(LENGTH_MAX, run).await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(error))) => Some(error),
        Ok(Err(_)) => Some(anyhow!("the test panicked, see above")),
        Err(_) => Some(anyhow!("the test took longer than {} seconds", LENGTH_MAX.as_secs())),
    }
}

fn start_logging() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_test_writer()
            .init();
    });
}
