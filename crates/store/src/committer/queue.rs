use std::{collections::VecDeque, time::Duration};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::{Batch, CommitError, StreamPos};

/// Batches of one group: enough for one disk write to serve every waiting request.
const GROUP_BATCHES_MAX: usize = 1_024;
/// Bytes of one group: what one write may cost in memory and time.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// Waiting batches; beyond it the disk is hopelessly behind and requests are refused.
const QUEUE_BATCHES_MAX: usize = 65_536;
/// Bytes of waiting batches.
const QUEUE_BYTES_MAX: usize = 256 << 20;

/// Where the outcome of a batch goes.
pub(crate) type Answer = oneshot::Sender<Result<StreamPos, CommitError>>;

/// A batch that waits.
pub(crate) struct Job {
    pub batch: Batch,
    pub bytes: usize,
    pub answer: Answer,
    /// On tokio's clock, for committers that give up waiting.
    pub since: Instant,
}

impl Job {
    pub fn new(batch: Batch, answer: Answer) -> Self {
        let bytes = batch.size_bytes();
        Self { batch, bytes, answer, since: Instant::now() }
    }
}

/// How much one group takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub batches: usize,
    pub bytes: usize,
}

/// What a committer that does not block finds in the queue.
pub(crate) enum Next {
    Group(Vec<Job>),
    /// Nothing waits, or what waits may not be taken yet.
    Nothing,
    /// Nothing waits, and nothing will come.
    Closed,
}

/// The batches that wait, in the order of their submission.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// For the thread of an engine that blocks.
    work: Condvar,
    /// For a task.
    wake: Notify,
    /// For whoever waits for the end of everything.
    failed: Notify,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    bytes: usize,
    end: Option<End>,
    /// Why nothing is accepted for the time being.
    paused: Option<String>,
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
            None if state.paused.is_some() => state.paused.as_deref().unwrap_or_default(),
            None if full => "too many batches wait for the disk",
            None => {
                state.bytes += job.bytes;
                state.jobs.push_back(job);
                drop(state);
                self.work.notify_one();
                self.wake.notify_one();
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
        let room = Room { batches: GROUP_BATCHES_MAX, bytes: GROUP_BYTES_MAX };
        Some(state.take(room, |_| true))
    }

    /// Take the next group without waiting: batches from the front for as long as `may` allows.
    pub fn try_group(&self, room: Room, may: impl Fn(&Batch) -> bool) -> Next {
        let mut state = self.state.lock();
        if state.jobs.is_empty() {
            return if state.end.is_some() { Next::Closed } else { Next::Nothing };
        }
        let jobs = state.take(room, may);
        if jobs.is_empty() { Next::Nothing } else { Next::Group(jobs) }
    }

    /// Resolves when something happened to the queue since it was last looked at. For one task.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }

    /// Put batches back where they were taken from, in their order.
    pub fn put_back(&self, jobs: Vec<Job>) {
        let mut state = self.state.lock();
        for job in jobs.into_iter().rev() {
            state.bytes += job.bytes;
            state.jobs.push_front(job);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Take out the batches that have waited since before this moment.
    pub fn take_older(&self, than: Instant) -> Vec<Job> {
        let mut state = self.state.lock();
        let (old, rest) =
            std::mem::take(&mut state.jobs).into_iter().partition(|job| job.since < than);
        state.jobs = rest;
        state.bytes = state.jobs.iter().map(|job| job.bytes).sum();
        old.into()
    }

    /// Whether batches are accepted; if not, why.
    pub fn ready(&self) -> Result<(), String> {
        let state = self.state.lock();
        match &state.end {
            None => state.paused.clone().map_or(Ok(()), Err),
            Some(End::Closed) => Err("the store is closed".into()),
            Some(End::Failed(why)) => Err(why.clone()),
        }
    }

    /// Whether [`Queue::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.state.lock().end.is_some()
    }

    /// Refuse new batches and those that wait, until [`Queue::resume`].
    pub fn pause(&self, why: &str) {
        let mut state = self.state.lock();
        state.paused = Some(why.into());
        refuse(state, why);
    }

    /// Accept batches again.
    pub fn resume(&self) {
        self.state.lock().paused = None;
    }

    /// Wait for a while; whether [`Queue::close`] was called. For the thread of an engine that
    /// blocks.
    pub fn closed_within(&self, pause: Duration) -> bool {
        let mut state = self.state.lock();
        if state.end.is_none() {
            self.work.wait_for(&mut state, pause);
        }
        state.end.is_some()
    }

    /// Resolves when the committer has ended without being asked to.
    pub async fn failed(&self) {
        loop {
            let failed = self.failed.notified();
            if matches!(self.state.lock().end, Some(End::Failed(_))) {
                return;
            }
            failed.await;
        }
    }

    /// Refuse new batches; those that wait still commit.
    pub fn close(&self) {
        self.state.lock().end.get_or_insert(End::Closed);
        self.work.notify_all();
        self.wake.notify_one();
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
        refuse(state, why);
        self.failed.notify_waiters();
    }
}

fn refuse(mut state: MutexGuard<'_, State>, why: &str) {
    state.bytes = 0;
    let jobs = std::mem::take(&mut state.jobs);
    drop(state);
    for job in jobs {
        let _ = job.answer.send(Err(CommitError::Unavailable(why.into())));
    }
}

impl State {
    fn take(&mut self, room: Room, may: impl Fn(&Batch) -> bool) -> Vec<Job> {
        let mut jobs = Vec::with_capacity(self.jobs.len().min(room.batches));
        let mut bytes = 0;
        while jobs.len() < room.batches
            && bytes < room.bytes
            && self.jobs.front().is_some_and(|job| may(&job.batch))
            && let Some(job) = self.jobs.pop_front()
        {
            bytes += job.bytes;
            jobs.push(job);
        }
        self.bytes -= bytes;
        jobs
    }
}
