//! One thread that commits batches in groups, for engines that one process owns.
//!
//! Batches wait in a queue; the thread takes what is there, checks and numbers the batches in
//! order, writes them with one durable write and answers everybody. While it waits for the disk the
//! next group gathers, so grouping costs no time when the server is idle.

mod group;
mod queue;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use parking_lot::Mutex;

use self::{
    group::Group,
    queue::{Job, Queue},
};
use crate::{Batch, CommitError, CommitHook, Key, Pending, StoreError, StreamPos, Table};
pub(crate) use group::Overlay;

/// What the commit thread needs from an engine. All calls block.
pub(crate) trait Engine: Send + Sync + 'static {
    /// For each row its version as [`Pre::Version`](crate::Pre::Version) compares it; `None` if
    /// there is no such row.
    fn versions(&self, rows: &[(Table, Key)]) -> Result<Vec<Option<u64>>, StoreError>;

    /// The first `limit` keys of a range, ascending.
    fn keys(&self, t: Table, lo: &Key, hi: &Key, limit: usize) -> Result<Vec<Key>, StoreError>;

    /// Write all rows (`None` removes), atomically; durable when it returns. After an error the
    /// outcome is unknown and the committer never writes again.
    fn write(&self, rows: &Overlay) -> Result<(), StoreError>;
}

/// What the committer did since it started.
#[derive(Default)]
pub(crate) struct Counters {
    pub groups: AtomicU64,
    pub batches: AtomicU64,
    pub bytes: AtomicU64,
    pub write_micros: AtomicU64,
}

/// The queue and its thread. Dropping it commits what is queued, then ends the thread.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    queue: Queue,
    position: AtomicU64,
    hook: Mutex<Option<CommitHook>>,
    counters: Counters,
}

impl Committer {
    /// Start the thread; the next batch gets the position after `last`.
    pub fn start<E: Engine>(engine: Arc<E>, last: StreamPos) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            position: AtomicU64::new(last.0),
            hook: Mutex::new(None),
            counters: Counters::default(),
        });
        let ending = Ending(shared.clone());
        let thread = thread::Builder::new().name("commit".into()).spawn(move || {
            let ending = ending;
            ending.0.run(engine.as_ref());
        })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    pub fn on_commit(&self, hook: CommitHook) {
        let before = self.shared.hook.lock().replace(hook);
        assert!(before.is_none(), "the commit hook is installed once");
    }

    pub fn submit(&self, batch: Batch) -> Pending {
        let (answer, pending) = Pending::channel();
        // Checked here and not on the commit thread: there is only one of that.
        let queued = match batch.check_limits() {
            Ok(()) => {
                let bytes = batch.size_bytes();
                self.shared.queue.push(Job { batch, bytes, answer })
            }
            Err(error) => Err((answer, error)),
        };
        if let Err((answer, error)) = queued {
            let _ = answer.send(Err(error));
        }
        pending
    }

    pub fn position(&self) -> StreamPos {
        StreamPos(self.shared.position.load(Ordering::SeqCst))
    }

    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Refuse new batches, commit the queued ones and end the thread. Blocks until that is done,
    /// also if another caller is already closing.
    pub fn close(&self) {
        self.shared.queue.close();
        let mut thread = self.thread.lock();
        let Some(handle) = thread.take() else { return };
        // The commit hook may hold the last handle of the store; a thread cannot wait for itself.
        if handle.thread().id() != thread::current().id() && handle.join().is_err() {
            tracing::error!("the commit thread had panicked");
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.close();
    }
}

/// However the thread ends, also by a panic in the hook: nobody may be left waiting.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.queue.fail("the commit thread has ended");
        // The hook usually holds handles that hold the store.
        let hook = self.0.hook.lock().take();
        drop(hook);
    }
}

impl Shared {
    fn run<E: Engine>(&self, engine: &E) {
        while let Some(jobs) = self.queue.next_group() {
            if let Err(error) = self.commit(engine, jobs) {
                tracing::error!(%error, "cannot write: the store takes no more batches");
                self.queue.fail(&error.to_string());
                return;
            }
        }
    }

    /// Commit a group. An error is fatal: the write failed, and what is on disk is unknown.
    fn commit<E: Engine>(&self, engine: &E, jobs: Vec<Job>) -> Result<(), StoreError> {
        let last = StreamPos(self.position.load(Ordering::SeqCst));
        let mut group = match Group::load(engine, jobs.iter().map(|job| &job.batch), last) {
            Ok(group) => group,
            Err(error) => {
                // Nothing was written; reads may work again.
                tracing::error!(%error, "cannot check preconditions");
                refuse(jobs, &error);
                return Ok(());
            }
        };
        let results: Vec<_> = jobs.iter().map(|job| group.add(&job.batch)).collect();
        let (rows, newest) = group.finish();
        if newest > last {
            #[expect(clippy::disallowed_methods, reason = "a measured duration")]
            let started = Instant::now();
            if let Err(error) = engine.write(&rows) {
                refuse(jobs, &error);
                return Err(error);
            }
            self.count(&jobs, newest.0 - last.0, started);
            self.position.store(newest.0, Ordering::SeqCst);
        }
        let hook = self.hook.lock().clone();
        for (job, result) in jobs.into_iter().zip(results) {
            if let (Ok(pos), Some(hook), false) = (&result, &hook, job.batch.changes.is_empty()) {
                hook(*pos, &job.batch.changes);
            }
            let _ = job.answer.send(result);
        }
        Ok(())
    }

    fn count(&self, jobs: &[Job], batches: u64, started: Instant) {
        let bytes: usize = jobs.iter().map(|job| job.bytes).sum();
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counters.groups.fetch_add(1, Ordering::Relaxed);
        self.counters.batches.fetch_add(batches, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.counters.write_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

fn refuse(jobs: Vec<Job>, error: &StoreError) {
    for job in jobs {
        let _ = job.answer.send(Err(CommitError::Unavailable(error.to_string())));
    }
}

#[cfg(test)]
mod tests;
