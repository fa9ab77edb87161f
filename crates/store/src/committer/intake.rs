//! What callers see of a committer, whichever engine it writes to.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::queue::{Job, Queue};
use crate::{Batch, CommitError, CommitHook, Pending, StreamPos};

/// What became of one batch.
pub(crate) type Outcome = Result<StreamPos, CommitError>;

/// The queue on one side; position, hook and answers on the other.
pub(crate) struct Intake {
    pub queue: Queue,
    pub counters: Counters,
    position: AtomicU64,
    hook: Mutex<Option<CommitHook>>,
}

/// What the committer did since it started.
#[derive(Default)]
pub(crate) struct Counters {
    pub groups: AtomicU64,
    pub batches: AtomicU64,
    pub bytes: AtomicU64,
    pub write_micros: AtomicU64,
}

impl Intake {
    /// For a store whose newest batch has the position `last`.
    pub fn new(last: StreamPos) -> Self {
        Self {
            queue: Queue::default(),
            counters: Counters::default(),
            position: AtomicU64::new(last.0),
            hook: Mutex::new(None),
        }
    }

    pub fn on_commit(&self, hook: CommitHook) {
        let before = self.hook.lock().replace(hook);
        assert!(before.is_none(), "the commit hook is installed once");
    }

    pub fn submit(&self, batch: Batch) -> Pending {
        let (answer, pending) = Pending::channel();
        // Checked here and not by the committer: there is only one of that.
        let queued = match batch.check_limits() {
            Ok(()) => self.queue.push(Job::new(batch, answer)),
            Err(error) => Err((answer, error)),
        };
        if let Err((answer, error)) = queued {
            let _ = answer.send(Err(error));
        }
        pending
    }

    pub fn position(&self) -> StreamPos {
        StreamPos(self.position.load(Ordering::SeqCst))
    }

    /// A group is durable and readable, and so is everything before it: tell the hook and the
    /// callers. `newest` is the position of its last batch.
    pub fn deliver(&self, jobs: Vec<Job>, outcomes: Vec<Outcome>, newest: StreamPos) {
        self.position.fetch_max(newest.0, Ordering::SeqCst);
        let hook = self.hook.lock().clone();
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            if let (Ok(pos), Some(hook), false) = (&outcome, &hook, job.batch.changes.is_empty()) {
                hook(*pos, &job.batch.changes);
            }
            let _ = job.answer.send(outcome);
        }
    }

    /// A group of which nobody knew is stored after all: tell the hook.
    pub fn deliver_late(&self, changes: &[(StreamPos, Vec<Bytes>)], newest: StreamPos) {
        self.position.fetch_max(newest.0, Ordering::SeqCst);
        let Some(hook) = self.hook.lock().clone() else { return };
        for (pos, lines) in changes.iter().filter(|(_, lines)| !lines.is_empty()) {
            hook(*pos, lines);
        }
    }

    /// Count a group that was written.
    pub fn count(&self, batches: u64, bytes: usize, micros: u128) {
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        self.counters.groups.fetch_add(1, Ordering::Relaxed);
        self.counters.batches.fetch_add(batches, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.counters.write_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

/// However the committer ends, also by a panic in the hook: nobody may be left waiting.
pub(crate) struct Ending(pub Arc<Intake>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.queue.fail("the committer has ended");
        // The hook usually holds handles that hold the store.
        let hook = self.0.hook.lock().take();
        drop(hook);
    }
}
