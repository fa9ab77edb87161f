//! What has to be done now and then.

use std::time::Duration;

use crate::Accounts;

/// Notes are written and presence is looked through so often.
const EVERY: Duration = Duration::from_secs(15);

impl Accounts {
    /// Write what is only noted in memory, and let people become idle and offline. To be run once,
    /// in the background; ends with the server, after a last round.
    pub async fn housekeeping(self) {
        let stop = self.data().env().stop().clone();
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            if let Err(error) = self.write_last_seen().await {
                tracing::warn!(%error, "last seen times of devices are not written");
            }
            if stopped {
                return;
            }
            if let Err(error) = self.sweep_oauth_now_and_then().await {
                tracing::warn!(%error, "OAuth clients that nobody uses are not removed");
            }
            self.presence().look_through();
        }
    }
}
