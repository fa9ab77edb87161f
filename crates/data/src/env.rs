//! Time, randomness, tasks and CPU work. Nothing else in the server makes them.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{MilliSecondsSinceUnixEpoch, UInt};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that only tests move, in milliseconds since the Unix epoch.
    Manual(Arc<AtomicU64>),
}

/// The server's access to the world apart from network and disk. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Env {
    clock: Clock,
    cpu: Arc<Semaphore>,
    answer_now: CancellationToken,
    stop: CancellationToken,
}

/// CPU-heavy jobs (password hashes, thumbnails, big merges) that may run at once.
const CPU_JOBS_MAX: usize = 4;

impl Env {
    /// The real world. `stop` ends workers; [`Env::answer_now`] is cancelled with it at the latest.
    pub fn system(stop: CancellationToken) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cpu = Arc::new(Semaphore::new(cores.min(CPU_JOBS_MAX)));
        Self { clock: Clock::System, cpu, answer_now: stop.child_token(), stop }
    }

    /// A world for tests, whose clock starts at `millis` and moves only by [`Env::advance`].
    pub fn manual(millis: u64) -> Self {
        let stop = CancellationToken::new();
        Self {
            clock: Clock::Manual(Arc::new(AtomicU64::new(millis))),
            cpu: Arc::new(Semaphore::new(CPU_JOBS_MAX)),
            answer_now: stop.child_token(),
            stop,
        }
    }

    /// Wall-clock time.
    pub fn now(&self) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(UInt::new_saturating(self.now_millis()))
    }

    /// Wall-clock time in milliseconds since the Unix epoch.
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub fn now_millis(&self) -> u64 {
        match &self.clock {
            Clock::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            Clock::Manual(millis) => millis.load(Ordering::SeqCst),
        }
    }

    /// Move a manual clock; does nothing to the system clock.
    pub fn advance(&self, by: Duration) {
        if let Clock::Manual(millis) = &self.clock {
            millis.fetch_add(u64::try_from(by.as_millis()).unwrap_or(0), Ordering::SeqCst);
        }
    }

    /// Random bytes from the operating system.
    ///
    /// # Panics
    /// If the operating system has none: no secret may be made then.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        bytes
    }

    /// Random text of `N` random bytes in URL-safe base64: 18 bytes give 24 characters.
    pub fn random_text<const N: usize>(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.random::<N>())
    }

    /// Run a task in the background.
    #[expect(clippy::disallowed_methods, reason = "this is where tasks are made")]
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        tokio::spawn(task)
    }

    /// Run CPU-heavy work outside the async threads; at most a few at once, the others wait.
    ///
    /// # Panics
    /// If the work panics.
    #[expect(clippy::disallowed_methods, reason = "this is the bounded pool")]
    pub async fn cpu<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let _turn = self.cpu.acquire().await.expect("the semaphore is never closed");
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    /// Cancelled when the server begins to stop: who waits for news answers now. Requests still
    /// run, and workers still serve them.
    pub fn answer_now(&self) -> &CancellationToken {
        &self.answer_now
    }

    /// Cancelled when no request runs any more: workers end at a safe point.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_answers_before_workers_stop_and_at_the_latest_with_them() {
        let env = Env::manual(0);
        env.answer_now().cancel();
        assert!(!env.stop().is_cancelled(), "requests still run, and workers serve them");
        let env = Env::system(CancellationToken::new());
        env.stop().cancel();
        assert!(env.answer_now().is_cancelled());
    }
}
