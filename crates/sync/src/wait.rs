//! The long poll.

use std::{sync::Arc, time::Duration};

use crate::{Boxed, Slot, Sync, SyncError};

/// Longest wait for something new.
const TIMEOUT_MAX: Duration = Duration::from_secs(5 * 60);

/// One look: the answer as of now, and whether it says anything. On the heap, so that it takes no
/// memory while a client waits.
pub(crate) type Look<'a, T> = Boxed<'a, (T, bool)>;

impl Sync {
    /// Look until there is news, or until the timeout, or until the server stops.
    ///
    /// Thousands of clients wait here at any time. What one of them holds is its request and a
    /// place in the notifier; whatever a look made is gone before the wait, and made anew at its
    /// end.
    pub(crate) async fn look_until_news<'a, T>(
        &self,
        slot: &Arc<Slot>,
        timeout: Duration,
        look: impl Fn() -> Look<'a, T>,
    ) -> Result<T, SyncError> {
        // Listen first, look second: nothing that happens in between is missed.
        let mut waiter = slot.waiter();
        let (answer, is_news) = look().await?;
        if is_news || timeout.is_zero() {
            return Ok(answer);
        }
        drop(answer);
        let deadline = tokio::time::sleep(timeout.min(TIMEOUT_MAX));
        tokio::pin!(deadline);
        loop {
            let is_over = tokio::select! {
                biased;
                () = self.data().env().answer_now().cancelled() => true,
                () = waiter.woken() => false,
                () = &mut deadline => true,
            };
            let (answer, is_news) = look().await?;
            if is_news || is_over {
                return Ok(answer);
            }
        }
    }
}
