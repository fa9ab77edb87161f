//! Commits batches in groups.
//!
//! Batches wait in a queue; the committer takes what is there, checks and numbers the batches in
//! order, writes them with one durable write and answers everybody. While it waits for the disk the
//! next group gathers, so grouping costs no time when the server is idle.
//!
//! [`Intake`] is what callers see, [`Group`] decides what becomes of each batch; both serve every
//! engine. [`Committer`] is the thread of an engine that blocks.

mod group;
mod intake;
mod queue;
mod recover;

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

use parking_lot::Mutex;

use crate::{Batch, CommitError, CommitHook, Key, Pending, StoreError, StreamPos, Table};
pub(crate) use group::{Group, Overlay, Versions};
pub(crate) use intake::{Counters, Ending, Intake, Outcome};
pub(crate) use queue::{Job, Next, Room};
pub(crate) use recover::Recovery;
use recover::{Lost, recover};

/// What a group has to ask an engine while it forms.
pub(crate) trait Stored {
    /// The first `limit` keys of a range, ascending.
    fn keys(&self, t: Table, lo: &Key, hi: &Key, limit: usize) -> Result<Vec<Key>, StoreError>;
}

/// What the commit thread needs from an engine. All calls block.
pub(crate) trait Engine: Stored + Send + Sync + 'static {
    /// For each row its version as [`Pre::Version`](crate::Pre::Version) compares it; `None` if
    /// there is no such row.
    fn versions(&self, rows: &[(Table, Key)]) -> Result<Vec<Option<u64>>, StoreError>;

    /// Write all rows (`None` removes), atomically; durable when it returns. After an error the
    /// outcome is unknown and the committer does not write until [`Engine::recover`] knows it.
    fn write(&self, rows: &Overlay) -> Result<(), StoreError>;

    /// After a failed write: find out what is stored. An engine that cannot never writes again.
    fn recover(&self) -> Recovery {
        Recovery::Failed(StoreError::Unavailable("nobody knows what is stored".into()))
    }
}

/// The queue and its thread. Dropping it commits what is queued, then ends the thread.
pub(crate) struct Committer {
    intake: Arc<Intake>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    /// Start the thread; the next batch gets the position after `last`.
    pub fn start<E: Engine>(engine: Arc<E>, last: StreamPos) -> std::io::Result<Self> {
        let intake = Arc::new(Intake::new(last));
        let ending = Ending(intake.clone());
        let thread = thread::Builder::new().name("commit".into()).spawn(move || {
            let ending = ending;
            run(&ending.0, engine.as_ref());
        })?;
        Ok(Self { intake, thread: Mutex::new(Some(thread)) })
    }

    pub fn on_commit(&self, hook: CommitHook) {
        self.intake.on_commit(hook);
    }

    pub fn submit(&self, batch: Batch) -> Pending {
        self.intake.submit(batch)
    }

    pub fn position(&self) -> StreamPos {
        self.intake.position()
    }

    pub fn counters(&self) -> &Counters {
        &self.intake.counters
    }

    /// Whether batches are accepted.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), StoreError> {
        self.intake.queue.ready().map_err(StoreError::Unavailable)
    }

    /// Resolves when the thread has ended without being asked to.
    pub async fn failed(&self) {
        self.intake.queue.failed().await;
    }

    /// Refuse new batches, commit the queued ones and end the thread. Blocks until that is done,
    /// also if another caller is already closing.
    pub fn close(&self) {
        self.intake.queue.close();
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

fn run<E: Engine>(intake: &Intake, engine: &E) {
    while let Some(jobs) = intake.queue.next_group() {
        let Err(lost) = commit(intake, engine, jobs) else { continue };
        if let Err(error) = recover(intake, engine, *lost) {
            tracing::error!(%error, "the store takes no more batches");
            intake.queue.fail(&error.to_string());
            return;
        }
    }
}

/// Commit a group. After an error nobody knows whether it is stored.
fn commit<E: Engine>(intake: &Intake, engine: &E, jobs: Vec<Job>) -> Result<(), Box<Lost>> {
    let last = intake.position();
    let mut group = match versions(engine, &jobs) {
        Ok(versions) => Group::new(engine, versions, last),
        Err(error) => {
            // Nothing was written; reads may work again.
            tracing::error!(%error, "cannot check preconditions");
            refuse(jobs, &error);
            return Ok(());
        }
    };
    let outcomes: Vec<_> = jobs.iter().map(|job| group.add(&job.batch)).collect();
    let (rows, newest) = group.finish();
    if newest > last {
        #[expect(clippy::disallowed_methods, reason = "a measured duration")]
        let started = Instant::now();
        if let Err(error) = engine.write(&rows) {
            return Err(Box::new(Lost::new(jobs, outcomes, [last, newest], error)));
        }
        let bytes = jobs.iter().map(|job| job.bytes).sum();
        intake.count(newest.0 - last.0, bytes, started.elapsed().as_micros());
    }
    intake.deliver(jobs, outcomes, newest);
    Ok(())
}

/// The versions of all rows that preconditions name, read in one go.
fn versions<E: Engine>(engine: &E, jobs: &[Job]) -> Result<Versions, StoreError> {
    let mut versions = Versions::new();
    for pre in jobs.iter().flat_map(|job| &job.batch.pre) {
        if let Some(row) = pre.row() {
            versions.insert(row, None);
        }
    }
    if versions.is_empty() {
        return Ok(versions);
    }
    let rows: Vec<_> = versions.into_keys().collect();
    let found = engine.versions(&rows)?;
    Ok(rows.into_iter().zip(found).collect())
}

pub(crate) fn refuse(jobs: Vec<Job>, error: &StoreError) {
    for job in jobs {
        let _ = job.answer.send(Err(CommitError::Unavailable(error.to_string())));
    }
}

#[cfg(test)]
mod tests;
