//! Removing what strangers left: clients that nobody let in, and device grants that are over.

use std::{ops::Bound, sync::atomic::Ordering, time::Duration};

use blaupause_data::{DIRECTORY, DataError, Order, ReadSet, Row, Write};

use super::rows::{ClientRow, DeviceGrantRow, StoredClient};
use crate::{Accounts, AccountsError, registration::millis};

/// The sweep comes so often.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
/// A client that nobody let in is forgotten after so long.
const UNUSED_KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// A grant that is over is kept for so long, to say that it is over.
const OVER_KEPT_FOR: Duration = Duration::from_secs(30 * 60);
/// Use of a client is noted once a day, so its sessions may be younger than the note by so much.
const NOTE_LAG: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// Rows looked at in one read, and removed in one batch.
const PORTION: u32 = 500;

impl Accounts {
    /// Sweep if it is time.
    pub(crate) async fn sweep_oauth_now_and_then(&self) -> Result<(), AccountsError> {
        let swept = self.0.oauth.swept_ms.load(Ordering::Relaxed);
        if self.now_ms() >= swept.saturating_add(millis(SWEEP_EVERY)) {
            self.sweep_oauth().await?;
            self.sweep_proofs().await?;
        }
        Ok(())
    }

    /// Remove what nobody needs any more, and count the rest.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sweep_oauth(&self) -> Result<(), AccountsError> {
        let now = self.now_ms();
        self.0.oauth.swept_ms.store(now, Ordering::Relaxed);
        let session_ms = self.oauth_session_ms();
        let clients =
            self.sweep::<ClientRow>(|client| is_forgotten(client, now, session_ms)).await?;
        self.0.oauth.clients.store(clients, Ordering::Relaxed);
        let is_over = millis(OVER_KEPT_FOR);
        let grants = self
            .sweep::<DeviceGrantRow>(|grant| grant.expires_ms.saturating_add(is_over) <= now)
            .await?;
        self.0.oauth.device_grants.store(grants, Ordering::Relaxed);
        Ok(())
    }

    /// Remove rows of the directory partition in portions; answers how many stay.
    pub(crate) async fn sweep<R>(
        &self,
        is_over: impl Fn(&R::Value) -> bool,
    ) -> Result<u64, AccountsError>
    where
        R: Row<Key = String>,
    {
        let mut stay = 0;
        let mut after: Option<String> = None;
        loop {
            let mut want = ReadSet::new();
            let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let page = want.range::<R>(
                DIRECTORY,
                from,
                Bound::<&String>::Unbounded,
                Order::Forward,
                PORTION,
            );
            let page = want.run(self.data()).await?.many(page)?;
            after = page.rows.last().map(|(key, _)| key.clone());
            let mut write = Write::new(DIRECTORY);
            for (key, row) in &page.rows {
                if is_over(&row.value) {
                    // Somebody may use it at this moment.
                    write.require_version::<R>(DIRECTORY, key, row.version);
                    write.del::<R>(DIRECTORY, key);
                } else {
                    stay += 1;
                }
            }
            if !write.is_empty() {
                match self.data().commit(write).await {
                    // The next sweep looks again.
                    Ok(_) | Err(DataError::Conflict { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if !page.more {
                return Ok(stay);
            }
        }
    }
}

/// Pure. Whether no session of the client can be alive. `session_ms`: how long a session lives
/// that is not refreshed.
fn is_forgotten(client: &StoredClient, now_ms: u64, session_ms: Option<u64>) -> bool {
    let unused_ms = now_ms.saturating_sub(client.used_ms);
    match (client.granted, session_ms) {
        (false, _) => unused_ms >= millis(UNUSED_KEPT_FOR),
        (true, Some(session_ms)) => unused_ms >= session_ms.saturating_add(millis(NOTE_LAG)),
        (true, None) => false,
    }
}
