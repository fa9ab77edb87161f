//! Keys of other servers (spec: server-server API, "Retrieving server keys"): what is known, what
//! has to be fetched, and which were valid when.
//!
//! A server is asked itself, once a minute at most; what cannot be had so is asked of the notaries
//! that the operator named. What was learnt is stored for ever: events are older than keys.

mod document;
mod fetch;
mod own;
mod ring;
pub(crate) mod stored;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use blaupause_data::DataError;
use blaupause_graph::Unverified;
use futures_util::{StreamExt, stream};
use ruma::{
    OwnedServerName, OwnedServerSigningKeyId, ServerName,
    room_version_rules::RoomVersionRules,
    signatures::{PublicKeyMap, PublicKeySet},
};

use crate::{Federation, FederationError};
pub(crate) use ring::KeyRing;
use stored::{ServerKeys, ServerKeysRow};

/// Servers that are asked at once for the keys of one call.
const ASKED_AT_ONCE: usize = 8;
/// What one round of fetching may take, notaries included. Who needs the keys must get on.
const ROUND: Duration = Duration::from_secs(30);

/// Key ids that are wanted of servers, and the time at which each must be valid (milliseconds
/// since the Unix epoch).
pub(crate) type Wanted = BTreeMap<OwnedServerName, BTreeMap<String, u64>>;

/// Keys to check events with.
#[derive(Clone, Debug, Default)]
pub struct EventKeys {
    servers: BTreeMap<OwnedServerName, Arc<ServerKeys>>,
    is_enforced: bool,
}

impl EventKeys {
    /// The keys that were valid when this event was made. A server whose keys could not be had is
    /// not in it.
    pub fn of(&self, event: &Unverified) -> PublicKeyMap {
        let event_ms = event.origin_server_ts().get().into();
        let keys_of = |server: &OwnedServerName| {
            let keys = self.servers.get(server)?.at(event_ms, self.is_enforced);
            let keys: PublicKeySet = keys.map(|key| (key.id.clone(), key.base64())).collect();
            (!keys.is_empty()).then(|| (server.to_string(), keys))
        };
        event.signers().iter().filter_map(keys_of).collect()
    }
}

impl Federation {
    /// Keys to check these events with; which of them were valid when an event was made says
    /// [`EventKeys::of`]. Keys that are missing are fetched, in one round; those that cannot be
    /// had are not in the answer, and neither are those of servers that we have nothing to do
    /// with.
    pub async fn keys_for<'a>(
        &self,
        events: impl IntoIterator<Item = &'a Unverified>,
        rules: &RoomVersionRules,
    ) -> EventKeys {
        let is_enforced = rules.enforce_key_validity;
        let wanted = self.wanted_for(events);
        self.event_keys(wanted, is_enforced).await
    }

    fn wanted_for<'a>(&self, events: impl IntoIterator<Item = &'a Unverified>) -> Wanted {
        let mut wanted = Wanted::new();
        for event in events {
            let at_ms = event.origin_server_ts().get().into();
            for server in event.signers() {
                if self.hears(server).is_err() {
                    continue;
                }
                let keys = wanted.entry(server.clone()).or_default();
                for id in event.key_ids(server) {
                    let until = keys.entry(id.to_owned()).or_insert(at_ms);
                    *until = at_ms.max(*until);
                }
            }
        }
        wanted
    }

    async fn event_keys(&self, wanted: Wanted, is_enforced: bool) -> EventKeys {
        let names: BTreeSet<OwnedServerName> = wanted.keys().cloned().collect();
        let round = tokio::time::timeout(ROUND, self.fetch_wanted(wanted, is_enforced)).await;
        if let Ok(Err(error)) = round {
            tracing::warn!(%error, "keys cannot be read or kept");
        }
        let servers = self.known_many(&names).await.unwrap_or_default();
        EventKeys { servers, is_enforced }
    }

    /// One round: servers themselves, then notaries.
    async fn fetch_wanted(&self, mut wanted: Wanted, is_enforced: bool) -> Result<(), DataError> {
        let names: BTreeSet<OwnedServerName> = wanted.keys().cloned().collect();
        let known = self.known_many(&names).await?;
        // Nobody knows more of our keys than we do.
        wanted.remove(self.data().server_name());
        wanted.retain(|server, keys| !has_all(known.get(server), keys, is_enforced));
        if wanted.is_empty() {
            return Ok(());
        }
        // Strangers in mixed rooms are not asked themselves, only notaries are.
        let mut ours: Vec<OwnedServerName> = wanted.keys().cloned().collect();
        ours.retain(|server| self.permits(server).is_ok());
        let asked = ours.into_iter().map(|server| async move {
            let keys = self.refreshed(&server).await;
            (server, keys)
        });
        let told: Vec<_> = stream::iter(asked).buffer_unordered(ASKED_AT_ONCE).collect().await;
        for (server, keys) in told {
            let keys = keys?;
            if wanted.get(&server).is_some_and(|ids| has_all(keys.as_ref(), ids, is_enforced)) {
                wanted.remove(&server);
            }
        }
        self.ask_notaries(wanted).await
    }

    /// The keys that a server's request may be signed with now, if the one it names is among them.
    ///
    /// # Errors
    /// [`FederationError::NotSigned`] if it is not.
    pub(crate) async fn request_keys(
        &self,
        server: &ServerName,
        id: &OwnedServerSigningKeyId,
    ) -> Result<PublicKeyMap, FederationError> {
        let now_ms = self.data().env().now_millis();
        let has = |keys: &Option<Arc<ServerKeys>>| {
            keys.as_ref().is_some_and(|keys| keys.in_use(now_ms).any(|key| key.id == id.as_str()))
        };
        let mut keys = self.known_keys(server).await?;
        if has(&keys) {
            self.refresh_if_stale(server, keys.as_deref());
        } else {
            keys = self.refreshed(server).await?;
        }
        if !has(&keys) {
            let wanted = BTreeMap::from([(id.to_string(), now_ms)]);
            self.ask_notaries(Wanted::from([(server.to_owned(), wanted)])).await?;
            keys = self.known_keys(server).await?;
        }
        let keys = keys.iter().flat_map(|keys| keys.in_use(now_ms));
        let keys: PublicKeySet = keys.map(|key| (key.id.clone(), key.base64())).collect();
        if keys.contains_key(id.as_str()) {
            Ok(PublicKeyMap::from([(server.to_string(), keys)]))
        } else {
            Err(FederationError::NotSigned(format!("{server} is not known to use the key {id}")))
        }
    }

    /// Keys of a server that has some now, fetched if they are not known.
    pub(crate) async fn keys_in_use(
        &self,
        server: &ServerName,
    ) -> Result<Arc<ServerKeys>, FederationError> {
        let now_ms = self.data().env().now_millis();
        let is_good = |keys: &Arc<ServerKeys>| keys.in_use(now_ms).next().is_some();
        if let Some(keys) = self.known_keys(server).await?.filter(is_good) {
            return Ok(keys);
        }
        let keys = self.refreshed(server).await?.filter(is_good);
        keys.ok_or_else(|| FederationError::Unreachable(format!("{server} publishes no keys")))
    }

    /// In the background, so that nobody waits when the keys have come to their end.
    fn refresh_if_stale(&self, server: &ServerName, keys: Option<&ServerKeys>) {
        let now_ms = self.data().env().now_millis();
        if server != self.data().server_name() && keys.is_some_and(|keys| keys.is_stale(now_ms)) {
            let (this, server) = (self.clone(), server.to_owned());
            self.data().env().spawn(async move { drop(this.refreshed(&server).await) });
        }
    }

    /// What is known of a server's keys.
    pub(crate) async fn known_keys(
        &self,
        server: &ServerName,
    ) -> Result<Option<Arc<ServerKeys>>, DataError> {
        let names = BTreeSet::from([server.to_owned()]);
        Ok(self.known_many(&names).await?.remove(server))
    }

    async fn known_many(
        &self,
        servers: &BTreeSet<OwnedServerName>,
    ) -> Result<BTreeMap<OwnedServerName, Arc<ServerKeys>>, DataError> {
        let own = self.data().server_name();
        let others = servers.iter().map(|server| &**server).filter(|server| *server != own);
        let (mut found, missing) = self.key_ring().known(others);
        let parts = self.data().parts();
        let wanted = missing.iter().map(|server| (parts.server(server), &()));
        let rows = self.data().get_many::<ServerKeysRow>(wanted).await?;
        for (server, row) in missing.into_iter().zip(rows) {
            let Some(row) = row.filter(|row| row.server == server.as_str()) else { continue };
            let keys = Arc::new(row.value);
            self.key_ring().remember(&server, Arc::clone(&keys));
            found.insert(server, keys);
        }
        if servers.contains(own) {
            found.insert(own.to_owned(), Arc::new(self.own_keys()));
        }
        Ok(found)
    }
}

fn has_all(
    keys: Option<&Arc<ServerKeys>>,
    wanted: &BTreeMap<String, u64>,
    is_enforced: bool,
) -> bool {
    let Some(keys) = keys else { return false };
    wanted.iter().all(|(id, until_ms)| keys.has(id, *until_ms, is_enforced))
}
