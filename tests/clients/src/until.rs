//! Waiting for what a client library will know sooner or later.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{self, Instant};

/// How long one condition may take. Far more than needed: two slow cores run several tests at once.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at. The library has a signal for some of them and none for most.
const GLANCE: Duration = Duration::from_millis(20);

/// Look until there is something; gives it.
///
/// # Errors
/// If there is nothing after [`PATIENCE`]: `what` says what was waited for.
pub async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        // A library call that hangs must not hold up the end.
        if let Ok(Some(found)) = time::timeout_at(end, look()).await {
            return Ok(found);
        }
        time::sleep(GLANCE).await;
    }
    bail!("waited {} seconds in vain: {what}", PATIENCE.as_secs())
}
