//! Application services: what they are told, and what they are asked (spec: application service
//! API).
//!
//! Each service has a worker that reads the log behind a stored position. What is to be told makes
//! a transaction, which is stored before it is first sent and sent until the service takes it:
//! neither a restart nor a service that is away loses, doubles or reorders anything. Typing and
//! presence are not stored until they are part of a transaction, as everywhere.
//!
//! Start reading at `send.rs` (one worker), then `gather.rs` (what it tells).

mod ask;
mod gather;
mod interest;
mod keys;
mod passing;
mod queries;
mod send;
mod store;
mod thirdparty;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use blaupause_accounts::{Accounts, AppService};
use blaupause_data::{Change, Data, DataError};
use blaupause_e2ee::E2ee;
use blaupause_outbound::Outbound;
use blaupause_rooms::Rooms;
use tokio::sync::Notify;

pub use keys::{HandedOut, WantedKeys};
pub use queries::PingFailed;

use ask::Asker;
use passing::PassedBy;
use thirdparty::KnownProtocols;

/// How long a worker waits after a transaction that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServicePauses {
    /// The first time; doubled with each further failure.
    pub first: Duration,
    pub longest: Duration,
}

impl Default for ServicePauses {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(5 * 60) }
    }
}

/// What application services are told and asked. Cheap to clone.
#[derive(Clone)]
pub struct Services(Arc<Inner>);

struct Inner {
    data: Data,
    accounts: Accounts,
    rooms: Rooms,
    e2ee: E2ee,
    asker: Asker,
    pauses: ServicePauses,
    protocols: KnownProtocols,
    /// By the service's id.
    links: HashMap<String, Link>,
}

/// Between a service's worker and the rest of the server.
#[derive(Default)]
struct Link {
    /// There may be something to tell.
    news: Arc<Notify>,
    /// The service is there: trying again is worth it.
    is_back: Notify,
    /// When the transaction that is not taken yet was first sent, in milliseconds since the Unix
    /// epoch; 0: there is none.
    sent_ms: AtomicU64,
    passed: Arc<PassedBy>,
}

impl Services {
    /// The domain over those that it reads from. To be followed by [`Services::start`].
    pub fn new(
        data: Data,
        accounts: Accounts,
        rooms: Rooms,
        e2ee: E2ee,
        pauses: ServicePauses,
        outbound: Outbound,
    ) -> Self {
        let listening = accounts.services().iter().filter(|service| service.url().is_some());
        let links: HashMap<_, _> =
            listening.map(|service| (service.id().to_owned(), Link::default())).collect();
        for service in accounts.services().iter() {
            let Some(link) = links.get(service.id()) else { continue };
            data.follow_log(&store::follower(service));
            let news = Arc::clone(&link.news);
            data.feed().follow_visible(Box::new(move |_, changes| {
                if changes.iter().any(concerns_services) {
                    news.notify_one();
                }
            }));
            passing::follow(&data, service, link);
        }
        let protocols = KnownProtocols::default();
        let asker = Asker(outbound);
        Self(Arc::new(Inner { data, accounts, rooms, e2ee, asker, pauses, protocols, links }))
    }

    /// Note where services begin that were not there before: at what happens from now on. To be
    /// awaited before anything happens.
    ///
    /// # Errors
    /// The store failed.
    pub async fn start(&self) -> Result<(), DataError> {
        for service in self.listening() {
            store::begin(self.data(), service).await?;
        }
        Ok(())
    }

    /// The workers, one a service. Each ends when the server stops.
    pub fn workers(&self) -> Vec<impl Future<Output = ()> + Send + 'static> {
        let worker = |service: &Arc<AppService>| {
            let (services, service) = (self.clone(), Arc::clone(service));
            async move { services.tell(&service).await }
        };
        self.listening().map(worker).collect()
    }

    /// How long each service that listens has let its transaction wait since the start of this
    /// server; nothing if it has taken all that it was sent.
    pub fn waiting(&self) -> Vec<(String, Duration)> {
        let now = self.data().env().now_millis();
        let mut waiting: Vec<_> = self
            .0
            .links
            .iter()
            .map(|(id, link)| {
                let since = Some(link.sent_ms.load(Ordering::Relaxed)).filter(|since| *since > 0);
                let ms = since.map_or(0, |since| now.saturating_sub(since));
                (id.clone(), Duration::from_millis(ms))
            })
            .collect();
        waiting.sort();
        waiting
    }

    fn listening(&self) -> impl Iterator<Item = &Arc<AppService>> {
        self.all().filter(|service| service.url().is_some())
    }

    fn all(&self) -> impl Iterator<Item = &Arc<AppService>> {
        self.0.accounts.services().iter()
    }

    /// Only services that listen have one.
    fn link(&self, service: &AppService) -> Option<&Link> {
        self.0.links.get(service.id())
    }

    fn data(&self) -> &Data {
        &self.0.data
    }
}

fn concerns_services(change: &Change) -> bool {
    matches!(
        change,
        Change::Event { .. }
            | Change::Receipt { .. }
            | Change::ToDevice { .. }
            | Change::Devices { .. }
            | Change::OneTimeKeys { .. }
    )
}
