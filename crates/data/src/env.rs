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
use parking_lot::Mutex;
use ruma::{MilliSecondsSinceUnixEpoch, UInt};
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, JoinHandle},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that only tests move, in milliseconds since the Unix epoch.
    Manual(Arc<AtomicU64>),
    /// The runtime's clock, which tests pause: it showed `at_ms` milliseconds since the Unix epoch
    /// at `zero`.
    Virtual { zero: Instant, at_ms: u64 },
}

/// What a simulated world has instead of the operating system: the same seed gives the same world.
#[derive(Debug)]
struct Simulated {
    random: Mutex<u64>,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// Tasks of a simulated world that are remembered before those that ended are forgotten.
const TASKS_KEPT: usize = 64;

/// The server's access to the world apart from network and disk. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Env {
    clock: Clock,
    cpu: Arc<Semaphore>,
    answer_now: CancellationToken,
    stop: CancellationToken,
    simulated: Option<Arc<Simulated>>,
}

/// CPU-heavy jobs (password hashes, thumbnails, big merges) that may run at once.
const CPU_JOBS_MAX: usize = 4;

impl Env {
    /// The real world. `stop` ends workers; [`Env::answer_now`] is cancelled with it at the latest.
    pub fn system(stop: CancellationToken) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cpu = Arc::new(Semaphore::new(cores.min(CPU_JOBS_MAX)));
        Self { clock: Clock::System, cpu, answer_now: stop.child_token(), stop, simulated: None }
    }

    /// A world for tests, whose clock starts at `millis` and moves only by [`Env::advance`].
    pub fn manual(millis: u64) -> Self {
        let stop = CancellationToken::new();
        Self {
            clock: Clock::Manual(Arc::new(AtomicU64::new(millis))),
            cpu: Arc::new(Semaphore::new(CPU_JOBS_MAX)),
            answer_now: stop.child_token(),
            stop,
            simulated: None,
        }
    }

    /// A world for tests that run a whole network in one thread, in a runtime whose clock is
    /// paused: it is `millis` (since the Unix epoch) now, chance comes from the seed, and CPU work
    /// is done at once. What the operating system would decide is decided here.
    pub fn simulated(seed: u64, millis: u64) -> Self {
        let simulated = Simulated { random: Mutex::new(seed), tasks: Mutex::default() };
        Self {
            clock: Clock::Virtual { zero: Instant::now(), at_ms: millis },
            simulated: Some(Arc::new(simulated)),
            ..Self::manual(millis)
        }
    }

    /// End all tasks of a simulated world wherever they are, as if the process had been killed.
    pub fn kill(&self) {
        if let Some(simulated) = &self.simulated {
            simulated.tasks.lock().drain(..).for_each(|task| task.abort());
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
            Clock::Virtual { zero, at_ms } => {
                at_ms + u64::try_from(zero.elapsed().as_millis()).unwrap_or(0)
            }
        }
    }

    /// Move a manual clock; does nothing to the system clock.
    pub fn advance(&self, by: Duration) {
        if let Clock::Manual(millis) = &self.clock {
            millis.fetch_add(u64::try_from(by.as_millis()).unwrap_or(0), Ordering::SeqCst);
        }
    }

    /// Random bytes from the operating system; in a simulated world from its seed.
    ///
    /// # Panics
    /// If the operating system has none: no secret may be made then.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        if let Some(simulated) = &self.simulated {
            let mut state = simulated.random.lock();
            for some in bytes.chunks_mut(8) {
                some.copy_from_slice(&next_random(&mut state).to_be_bytes()[..some.len()]);
            }
            return bytes;
        }
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
        let task = tokio::spawn(task);
        if let Some(simulated) = &self.simulated {
            let mut tasks = simulated.tasks.lock();
            if tasks.len() >= TASKS_KEPT {
                tasks.retain(|task| !task.is_finished());
            }
            tasks.push(task.abort_handle());
        }
        task
    }

    /// Run CPU-heavy work outside the async threads; at most a few at once, the others wait.
    ///
    /// # Panics
    /// If the work panics.
    #[expect(clippy::disallowed_methods, reason = "this is the bounded pool")]
    pub async fn cpu<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        if self.simulated.is_some() {
            return work();
        }
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

/// SplitMix64: small, and good enough for tests. Secrets never come from here.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
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

    #[tokio::test(start_paused = true)]
    async fn a_simulated_world_is_that_of_its_seed() {
        let (one, same, other) =
            (Env::simulated(1, 5_000), Env::simulated(1, 5_000), Env::simulated(2, 5_000));
        let drawn = one.random::<20>();
        assert_eq!(drawn, same.random::<20>());
        assert_ne!(drawn, other.random::<20>());
        assert_eq!(one.now_millis(), 5_000);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(one.now_millis(), 8_000);
        let task = one.spawn(std::future::pending::<()>());
        one.kill();
        assert!(task.await.is_err_and(|ended| ended.is_cancelled()));
    }
}
