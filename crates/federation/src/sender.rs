//! Sending: what other servers are owed, and one task for each server that is owed something.
//!
//! A follower of the log ([`follow`]) turns events of this server into debts, rows that overwrite
//! themselves: a server that is away costs a row for each room, not one for each event. EDUs that
//! must arrive are rows of their own ([`Federation::owe_edu`]); typing, receipts and presence wait
//! in memory ([`Federation::tell`]).
//!
//! A task ([`deliver`]) has one transaction under way. A transaction that may or may not have
//! arrived is made anew: the other server knows events by their ids, messages to devices by theirs
//! and device lists by their numbers, so that nothing counts twice.

mod backoff;
mod deliver;
mod follow;
mod handed;
mod owe;
mod passing;
mod queue;
pub mod rows;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use blaupause_data::{Change, DIRECTORY, DataError, Follower};
use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};
use tokio::sync::{Notify, Semaphore};

pub use passing::{PassingEdu, PresencePush};

use crate::Federation;
use rows::DebtorRow;

/// Transactions that are under way at once. Servers that do not answer hold a place for as long as
/// a transaction may take; the others wait.
const TRANSACTIONS_MAX: usize = 200;
/// Servers that were ever owed something.
const DEBTORS_MAX: u32 = 100_000;
/// Name of the cursor.
const FOLLOWER: &str = "federation-out";
/// How long to wait after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// What sending keeps in memory.
pub(crate) struct Sender {
    links: Mutex<HashMap<OwnedServerName, Arc<Link>>>,
    turns: Semaphore,
    /// Whoever notes what is owed because of the log.
    follower: Follower,
    /// Servers that stand in the directory.
    known: Mutex<HashSet<OwnedServerName>>,
    handed: handed::Handed,
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            links: Mutex::default(),
            turns: Semaphore::new(TRANSACTIONS_MAX),
            follower: Follower::new(FOLLOWER),
            known: Mutex::default(),
            handed: handed::Handed::default(),
        }
    }
}

/// Between the task of a server and the rest.
#[derive(Default)]
struct Link {
    state: Mutex<LinkState>,
    /// The server was heard from.
    is_back: Notify,
}

#[derive(Default)]
struct LinkState {
    waiting: passing::Waiting,
    /// A task serves the server.
    is_served: bool,
    /// Something came since the task looked last.
    wanted: bool,
    heard: bool,
    /// When the server was last tried only because it was heard from.
    heard_try_ms: u64,
    /// Transactions in a row that the server refused as such.
    refusals: u32,
}

impl Federation {
    /// Follow the log from now on, where it was not followed before. To be awaited before anything
    /// happens.
    ///
    /// # Errors
    /// The store failed.
    pub async fn start(&self) -> Result<(), DataError> {
        if !self.is_on() {
            return Ok(());
        }
        let follower = &self.sender().follower;
        follower.begin(self.data()).await?;
        follower.listen(self.data(), |change| matches!(change, Change::Event { .. }));
        let weak = self.downgrade();
        // Who commits is a thread outside of the runtime, and tasks are started there.
        let runtime = tokio::runtime::Handle::current();
        self.data().feed().follow_visible(Box::new(move |_, changes| {
            let Some(federation) = weak.upgrade() else { return };
            let _inside = runtime.enter();
            for change in changes.iter() {
                if let Change::Owed { server } = change {
                    federation.wake(server);
                }
            }
        }));
        Ok(())
    }

    /// Send what is owed until the server stops.
    pub async fn run_sender(self) {
        if !self.is_on() {
            return;
        }
        let stop = self.data().env().stop().clone();
        loop {
            let done = tokio::select! {
                () = stop.cancelled() => return,
                done = self.wake_debtors() => done,
            };
            let Err(error) = done else { break };
            tracing::warn!(%error, "servers with debts cannot be read");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(STORE_PAUSE) => {}
            }
        }
        self.sender().follower.run(self.data(), || self.owe_events()).await;
    }

    /// After a start: whoever is owed something gets a task.
    async fn wake_debtors(&self) -> Result<(), DataError> {
        let all = self.data().list_all::<DebtorRow>(DIRECTORY, &(), DEBTORS_MAX).await?.rows;
        let names = all.into_iter().filter_map(|(name, _)| OwnedServerName::try_from(name).ok());
        let names: Vec<_> = names.collect();
        self.sender().known.lock().extend(names.iter().cloned());
        for names in names.chunks(500) {
            for (server, owed) in names.iter().zip(self.are_owed(names).await?) {
                if owed {
                    self.wake(server);
                }
            }
        }
        Ok(())
    }

    /// Tell servers something that is not stored. Those that are away for long do not hear of it.
    pub fn tell(&self, to: &[OwnedServerName], edu: &PassingEdu) {
        let now = self.data().env().now_millis();
        for server in to {
            if server == self.data().server_name() || self.permits(server).is_err() {
                continue;
            }
            {
                let mut links = self.sender().links.lock();
                let mut state = links.entry(server.clone()).or_default().state.lock();
                state.waiting.put(edu.clone(), now);
            }
            self.wake(server);
        }
    }

    /// There is something for a server, or there may be.
    fn wake(&self, server: &ServerName) {
        let link = {
            let mut links = self.sender().links.lock();
            let link = links.entry(server.to_owned()).or_default();
            let mut state = link.state.lock();
            state.wanted = true;
            if std::mem::replace(&mut state.is_served, true) {
                return;
            }
            Arc::clone(link)
        };
        let (federation, server) = (self.clone(), server.to_owned());
        self.data().env().spawn(async move {
            let stop = federation.data().env().stop().clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = federation.deliver_to(&server, &link) => {}
            }
        });
    }

    /// A task that finds nothing more to do ends, unless something came meanwhile.
    fn may_end(&self, server: &ServerName, link: &Arc<Link>) -> bool {
        let mut links = self.sender().links.lock();
        let mut state = link.state.lock();
        if state.wanted || !state.waiting.is_empty() {
            return false;
        }
        state.is_served = false;
        links.remove(server);
        true
    }

    /// A server was heard from: what it is owed is tried at once.
    pub(crate) fn try_again(&self, server: &ServerName) {
        let link = self.sender().links.lock().get(server).cloned();
        if let Some(link) = link {
            link.state.lock().heard = true;
            link.is_back.notify_one();
        }
    }
}
