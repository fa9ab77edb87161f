use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{Batch, CommitError, StreamPos};

/// Batches of one group: enough for one disk write to serve every waiting request.
pub(super) const GROUP_BATCHES_MAX: usize = 1_024;
/// Bytes of one group: what one write may cost in memory and time.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// Waiting batches; beyond it the disk is hopelessly behind and requests are refused.
const QUEUE_BATCHES_MAX: usize = 65_536;
/// Bytes of waiting batches.
const QUEUE_BYTES_MAX: usize = 256 << 20;

/// Where the outcome of a batch goes.
pub(super) type Answer = oneshot::Sender<Result<StreamPos, CommitError>>;

/// A batch that waits.
pub(super) struct Job {
    pub batch: Batch,
    pub bytes: usize,
    pub answer: Answer,
}

/// The batches that wait, in the order of their submission.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    bytes: usize,
    end: Option<End>,
}

enum End {
    Closed,
    Failed(String),
}

impl Queue {
    /// Queue a batch, or say at once why not.
    pub fn push(&self, job: Job) -> Result<(), (Answer, CommitError)> {
        let mut state = self.state.lock();
        let full = state.jobs.len() >= QUEUE_BATCHES_MAX || state.bytes >= QUEUE_BYTES_MAX;
        let why = match &state.end {
            Some(End::Closed) => "the store is closed",
            Some(End::Failed(why)) => why,
            None if full => "too many batches wait for the disk",
            None => {
                state.bytes += job.bytes;
                state.jobs.push_back(job);
                drop(state);
                self.work.notify_one();
                return Ok(());
            }
        };
        Err((job.answer, CommitError::Unavailable(why.into())))
    }

    /// Wait for batches and take the next group; `None` when closed and empty, or failed.
    pub fn next_group(&self) -> Option<Vec<Job>> {
        let mut state = self.state.lock();
        while state.jobs.is_empty() {
            if state.end.is_some() {
                return None;
            }
            self.work.wait(&mut state);
        }
        let mut jobs = Vec::with_capacity(state.jobs.len().min(GROUP_BATCHES_MAX));
        let mut bytes = 0;
        while jobs.len() < GROUP_BATCHES_MAX && bytes < GROUP_BYTES_MAX {
            let Some(job) = state.jobs.pop_front() else { break };
            bytes += job.bytes;
            jobs.push(job);
        }
        state.bytes -= bytes;
        Some(jobs)
    }

    /// Refuse new batches; those that wait still commit.
    pub fn close(&self) {
        self.state.lock().end.get_or_insert(End::Closed);
        self.work.notify_all();
    }

    /// Refuse new batches and those that wait.
    pub fn fail(&self, why: &str) {
        let mut state = self.state.lock();
        // The first reason is the one that explains the others.
        if !matches!(state.end, Some(End::Failed(_))) {
            let closed_and_done = state.end.is_some() && state.jobs.is_empty();
            if !closed_and_done {
                state.end = Some(End::Failed(why.into()));
            }
        }
        state.bytes = 0;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        for job in jobs {
            let _ = job.answer.send(Err(CommitError::Unavailable(why.into())));
        }
    }
}
