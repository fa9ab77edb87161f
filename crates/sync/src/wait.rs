//! The long poll.

use std::{sync::Arc, time::Duration};

use crate::{Boxed, Slot, Sync, SyncError, Waiter};

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
    pub(crate) fn look_until_news<'s, 'a: 's, T: 's, L: Fn() -> Look<'a, T> + 's>(
        &'s self,
        slot: &Arc<Slot>,
        timeout: Duration,
        look: L,
    ) -> impl Future<Output = Result<T, SyncError>> + use<'s, 'a, T, L> {
        // Listen first, look second: nothing that happens in between is missed.
        self.until_news(slot.waiter(), timeout, look)
    }

    /// As [`Self::look_until_news`], with a waiter that was made before the first look.
    pub(crate) async fn until_news<'a, T>(
        &self,
        mut waiter: Waiter,
        timeout: Duration,
        look: impl Fn() -> Look<'a, T>,
    ) -> Result<T, SyncError> {
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
