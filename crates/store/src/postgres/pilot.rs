//! The committer: groups batches, writes each group on a free connection, and lets several groups
//! wait for the disks at once.
//!
//! Groups are *written* one after the other, so that each knows what became of the one before and
//! positions have no holes; only their commits overlap. A batch that depends on a group under way
//! waits for its end. Outcomes are told in the order of positions.
//!
//! When a connection breaks, nothing is written until it is known what became of every group:
//! see [`Pilot::recover`].

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use futures_util::{
    future::{BoxFuture, try_join_all},
    stream::{FuturesUnordered, StreamExt},
};
use tokio::time::{Instant, sleep};
use tokio_postgres::Error;

use super::{
    PgError, Site,
    condition::Whose,
    lease::position,
    touched::Touched,
    write::{Decided, Place, Writer},
};
use crate::{
    CommitError, StoreError, StreamPos,
    committer::{Ending, Job, Next, Outcome, Room, refuse},
};

/// What one transaction writes: enough to make its fsync worth while, little enough that the next
/// group does not wait long to be written.
const GROUP: Room = Room { batches: 256, bytes: 4 << 20 };
/// Between two looks at batches that have waited too long.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two attempts to connect.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

pub(super) struct Pilot {
    site: Arc<Site>,
    lanes: Vec<Lane>,
    /// Groups that are written, in the order of their positions.
    flights: VecDeque<Flight>,
    events: FuturesUnordered<BoxFuture<'static, Event>>,
    /// Whether a group is being written.
    writing: bool,
    /// The newest position given.
    last: StreamPos,
}

/// A connection that carries one group at a time.
struct Lane {
    writer: Option<Arc<Writer>>,
    /// Number of the newest group.
    group_no: i64,
    busy: bool,
}

/// A group that is written but not told yet.
struct Flight {
    lane: usize,
    group_no: i64,
    jobs: Vec<Job>,
    outcomes: Vec<Outcome>,
    before: StreamPos,
    newest: StreamPos,
    touched: Touched,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its commit is under way.
    Flying,
    /// It is durable.
    Landed,
    /// Its commit was sent and not answered.
    Lost,
}

enum Event {
    Written { lane: usize, jobs: Vec<Job>, result: Result<Decided, Error> },
    Committed { lane: usize, result: Result<(), PgError>, micros: u128 },
}

/// Why the ordinary course of things has ended.
enum Stop {
    /// Closed, and everything is told.
    Done,
    /// A connection broke.
    Broken(PgError),
    Fenced(PgError),
}

impl Pilot {
    /// With connections, after the newest position in the database.
    pub fn new(site: Arc<Site>, writers: Vec<Writer>, last: StreamPos) -> Self {
        let lane = |writer| Lane { writer: Some(Arc::new(writer)), group_no: 0, busy: false };
        let lanes = writers.into_iter().map(lane).collect();
        let (flights, events) = (VecDeque::new(), FuturesUnordered::new());
        Self { site, lanes, flights, events, writing: false, last }
    }

    /// Until the store is closed, or another server has taken over.
    pub async fn run(mut self) {
        let _ending = Ending(self.site.intake.clone());
        loop {
            let mut stop = self.fly().await;
            if let Stop::Broken(error) = stop {
                match self.recover(error).await {
                    Ok(()) => continue,
                    Err(other) => stop = other,
                }
            }
            if let Stop::Fenced(error) = stop {
                tracing::error!(%error, "this server must not write any more");
                self.site.condition.down(Whose::Commits, error.to_string());
                self.site.intake.queue.fail(&error.to_string());
            }
            self.give_up();
            return;
        }
    }

    async fn fly(&mut self) -> Stop {
        loop {
            let free = self.free_lane().filter(|_| !self.writing);
            if let Some(lane) = free {
                match self.site.intake.queue.try_group(GROUP, |batch| !self.must_wait(batch)) {
                    Next::Group(jobs) => {
                        self.write(lane, jobs);
                        continue;
                    }
                    Next::Closed if self.flights.is_empty() => return Stop::Done,
                    Next::Closed | Next::Nothing => {}
                }
            }
            let site = self.site.clone();
            tokio::select! {
                biased;
                Some(event) = self.events.next() => {
                    if let Err(stop) = self.handle(event) {
                        return stop;
                    }
                }
                () = site.intake.queue.changed(), if free.is_some() => {}
                () = sleep(LOOK_EVERY) => site.expire("commits are not answered"),
            }
        }
    }

    fn free_lane(&self) -> Option<usize> {
        self.lanes.iter().position(|lane| !lane.busy && lane.writer.is_some())
    }

    fn must_wait(&self, batch: &crate::Batch) -> bool {
        let flying = self.flights.iter().filter(|flight| flight.state != State::Landed);
        flying.into_iter().any(|flight| flight.touched.concerns(batch))
    }

    /// Start writing a group.
    fn write(&mut self, at: usize, jobs: Vec<Job>) {
        let lane = &mut self.lanes[at];
        let Some(writer) = lane.writer.clone() else {
            return self.site.intake.queue.put_back(jobs);
        };
        lane.group_no += 1;
        lane.busy = true;
        self.writing = true;
        let place = Place {
            lane: i16::try_from(at).unwrap_or(i16::MAX),
            epoch: self.site.epoch,
            group_no: lane.group_no,
            last: self.last,
        };
        self.events.push(Box::pin(async move {
            let result = writer.write(place, &jobs).await;
            Event::Written { lane: at, jobs, result }
        }));
    }

    fn handle(&mut self, event: Event) -> Result<(), Stop> {
        match event {
            Event::Written { lane, jobs, result: Ok(decided) } => {
                self.writing = false;
                self.commit(lane, jobs, decided);
            }
            Event::Written { lane, jobs, result: Err(error) } => {
                // Its commit was never sent, so it is certain that nothing was written.
                self.writing = false;
                return self.not_written(lane, jobs, error);
            }
            Event::Committed { lane, result, micros } => {
                self.lanes[lane].busy = false;
                let error = result.err();
                let state = if error.is_none() { State::Landed } else { State::Lost };
                self.settle(lane, state, micros);
                if let Some(error) = error {
                    return Err(Stop::Broken(error));
                }
                self.site.condition.up(Whose::Commits);
            }
        }
        self.tell();
        Ok(())
    }

    /// A group is written: send its commit.
    fn commit(&mut self, at: usize, jobs: Vec<Job>, decided: Decided) {
        let lane = &mut self.lanes[at];
        let Decided { outcomes, newest, touched, open } = decided;
        let (group_no, before) = (lane.group_no, self.last);
        let state = if open { State::Flying } else { State::Landed };
        lane.busy = open;
        self.last = newest;
        let flight = Flight { lane: at, group_no, jobs, outcomes, before, newest, touched, state };
        self.flights.push_back(flight);
        if let (true, Some(writer)) = (open, lane.writer.clone()) {
            self.events.push(Box::pin(async move {
                #[expect(clippy::disallowed_methods, reason = "a measured duration")]
                let started = Clock::now();
                let result = writer.commit().await;
                Event::Committed { lane: at, result, micros: started.elapsed().as_micros() }
            }));
        }
    }

    /// The server did not take a group. If that may pass, its batches wait for another attempt.
    fn not_written(&mut self, lane: usize, jobs: Vec<Job>, error: Error) -> Result<(), Stop> {
        let closed = error.is_closed();
        let error = PgError::from(error);
        // Whatever is left of the transaction ends with the connection.
        self.lanes[lane].writer = None;
        self.lanes[lane].busy = false;
        match error {
            PgError::Fenced { .. } => {
                refuse_fenced(jobs);
                Err(Stop::Fenced(error))
            }
            error if closed || error.may_pass() => {
                self.site.intake.queue.put_back(jobs);
                Err(Stop::Broken(error))
            }
            error => {
                tracing::error!(%error, "cannot write a group of batches");
                refuse(jobs, &StoreError::Unavailable(error.to_string()));
                Err(Stop::Broken(error))
            }
        }
    }

    /// The group that flies on a lane is known to be durable, or has been lost sight of.
    fn settle(&mut self, lane: usize, state: State, micros: u128) {
        let is_it = |flight: &&mut Flight| flight.lane == lane && flight.state == State::Flying;
        let Some(flight) = self.flights.iter_mut().find(is_it) else { return };
        flight.state = state;
        if state == State::Landed {
            let bytes = flight.jobs.iter().map(|job| job.bytes).sum();
            self.site.intake.count(flight.newest.0 - flight.before.0, bytes, micros);
        }
    }

    /// Tell what is durable with everything before it.
    fn tell(&mut self) {
        while self.flights.front().is_some_and(|flight| flight.state == State::Landed)
            && let Some(flight) = self.flights.pop_front()
        {
            self.site.intake.deliver(flight.jobs, flight.outcomes, flight.newest);
        }
    }

    /// A connection broke. Wait for the answers on the others, find out on new connections what
    /// became of commits without an answer, put back what was not committed, and go on.
    ///
    /// Looking waits for the old transactions to end, and is itself a durable write: what it finds
    /// committed is on the disks of the standby too.
    async fn recover(&mut self, error: PgError) -> Result<(), Stop> {
        let site = self.site.clone();
        site.condition.down(Whose::Commits, error.to_string());
        site.condition.next_generation();
        let mut why = error.to_string();
        site.expiring(&why, self.drain()).await;
        let mut retry = RETRY_FIRST;
        let closing = Instant::now();
        let group_nos = loop {
            match site.expiring(&why, self.look()).await {
                Ok(group_nos) => break group_nos,
                Err(error @ PgError::Fenced { .. }) => return Err(Stop::Fenced(error)),
                Err(error) => {
                    why = error.to_string();
                    site.condition.down(Whose::Commits, why.clone());
                }
            }
            if site.intake.queue.is_closed() && closing.elapsed() > site.settings.outage_wait {
                return Err(Stop::Done);
            }
            site.expiring(&why, sleep(retry)).await;
            retry = (retry * 2).min(RETRY_MAX);
        };
        // Who is answered now and looks finds a healthy store.
        site.condition.up(Whose::Commits);
        self.resolve(&group_nos);
        Ok(())
    }

    /// Wait until nothing is under way. A group that is written by now is not committed any more.
    async fn drain(&mut self) {
        while let Some(event) = self.events.next().await {
            match event {
                Event::Written { jobs, .. } => self.site.intake.queue.put_back(jobs),
                Event::Committed { lane, result, micros } => {
                    let state = if result.is_ok() { State::Landed } else { State::Lost };
                    self.settle(lane, state, micros);
                }
            }
        }
        self.writing = false;
        for lane in &mut self.lanes {
            lane.writer = None;
            lane.busy = false;
        }
        self.tell();
    }

    /// New connections for all lanes; the result is the number of the last group that each has
    /// committed.
    async fn look(&mut self) -> Result<Vec<i64>, PgError> {
        let site = self.site.clone();
        let writers = try_join_all(self.lanes.iter().map(|_| site.writer())).await?;
        let rows = writers[0]
            .client
            .query("update lane set looks = looks + 1 returning n, epoch, group_no, position", &[])
            .await?;
        writers[0].check_standby()?;
        let mut group_nos = vec![0; self.lanes.len()];
        let mut newest = 0;
        for row in rows {
            let (n, epoch): (i16, i64) = (row.get(0), row.get(1));
            if epoch != site.epoch {
                return Err(PgError::Fenced { owner: format!("its lease has number {epoch}") });
            }
            if let Some(group_no) = usize::try_from(n).ok().and_then(|n| group_nos.get_mut(n)) {
                *group_no = row.get(2);
            }
            newest = newest.max(position(row.get(3)));
        }
        site.check_not_behind(newest)?;
        for (lane, writer) in self.lanes.iter_mut().zip(writers) {
            lane.writer = Some(Arc::new(writer));
        }
        Ok(group_nos)
    }

    /// Every group has landed or goes back to the queue.
    fn resolve(&mut self, group_nos: &[i64]) {
        let mut back = Vec::new();
        for mut flight in std::mem::take(&mut self.flights) {
            let committed =
                flight.state == State::Landed || group_nos[flight.lane] == flight.group_no;
            if committed {
                flight.state = State::Landed;
                self.flights.push_back(flight);
            } else {
                back.extend(flight.jobs);
            }
        }
        let (kept, again) = (self.flights.len(), back.len());
        tracing::info!(kept, again, "groups found committed; batches to write again");
        self.site.intake.queue.put_back(back);
        // Positions of groups that were not committed are free again, unless later ones were.
        let newest = self.flights.back().map_or(StreamPos(0), |flight| flight.newest);
        self.tell();
        self.last = newest.max(self.site.intake.position());
    }

    /// Nobody is left waiting; what became of groups under way is not known.
    fn give_up(&mut self) {
        for flight in std::mem::take(&mut self.flights) {
            let why = StoreError::Unavailable("the outcome is not known".into());
            refuse(flight.jobs, &why);
        }
    }
}

fn refuse_fenced(jobs: Vec<Job>) {
    for job in jobs {
        let _ = job.answer.send(Err(CommitError::Fenced));
    }
}
