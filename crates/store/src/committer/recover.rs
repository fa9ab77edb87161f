//! What happens after a write that failed.

use std::time::Duration;

use bytes::Bytes;

use super::{Engine, Intake, Job, Outcome};
use crate::{CommitError, StoreError, StreamPos};

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// What an engine found out after a failed write.
pub(crate) enum Recovery {
    /// It is open again, and this is the newest position in it.
    At(StreamPos),
    /// Not yet: the disk is still full, or opening failed and may be tried again.
    Later,
    /// Never: only a restart may help.
    Failed(StoreError),
}

/// A group whose write failed: stored as a whole or not at all.
pub(super) struct Lost {
    /// The newest position before it, and with it.
    last: StreamPos,
    newest: StreamPos,
    /// The change lines of its batches.
    changes: Vec<(StreamPos, Vec<Bytes>)>,
    error: StoreError,
}

impl Lost {
    /// Nobody is left waiting: the callers hear that the outcome is unknown.
    pub fn new(
        jobs: Vec<Job>,
        outcomes: Vec<Outcome>,
        [last, newest]: [StreamPos; 2],
        error: StoreError,
    ) -> Self {
        let mut changes = Vec::new();
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            let answer = match outcome {
                Ok(pos) => {
                    changes.push((pos, job.batch.changes));
                    Err(CommitError::Unavailable(error.to_string()))
                }
                // Decided before the write.
                refused => refused,
            };
            let _ = job.answer.send(answer);
        }
        Self { last, newest, changes, error }
    }
}

/// Refuse batches until the engine knows what is stored, then go on.
///
/// # Errors
/// Why the committer cannot go on.
pub(super) fn recover<E: Engine>(
    intake: &Intake,
    engine: &E,
    lost: Lost,
) -> Result<(), StoreError> {
    tracing::error!(error = %lost.error, "cannot write: batches are refused until that is clear");
    intake.queue.pause(&lost.error.to_string());
    let stored = loop {
        match engine.recover() {
            Recovery::At(pos) => break pos,
            Recovery::Failed(error) => return Err(error),
            Recovery::Later if intake.queue.closed_within(PAUSE) => return Err(lost.error),
            Recovery::Later => {}
        }
    };
    if stored == lost.newest {
        // Its callers were told that nobody knows; everybody else has to learn of it now.
        intake.deliver_late(&lost.changes, stored);
    } else if stored != lost.last {
        let (found, before) = (stored.0, lost.last.0);
        return Err(StoreError::Damaged(format!("position {found} after {before}")));
    }
    tracing::info!(position = stored.0, "batches are accepted again");
    intake.queue.resume();
    Ok(())
}
