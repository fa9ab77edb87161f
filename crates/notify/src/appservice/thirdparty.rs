//! Networks that services bridge to, and who and what is there (spec: application service API,
//! "Third-party networks").

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use blaupause_accounts::AppService;
use blaupause_rooms::Network;
use futures_util::future::join_all;
use http::Method;
use parking_lot::Mutex;
use ruma::{
    RoomAliasId, UserId,
    thirdparty::{Location, Protocol, User},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};

use super::{Services, ask::Question, queries::ANSWER_TIME};

/// How long it is remembered what a service says of a protocol, in milliseconds.
const KNOWN_MS: u64 = 10 * 60 * 1_000;
/// Locations or users that one service tells at once.
const FOUND_MAX: usize = 1_000;

/// What services say of their protocols: by service and protocol, until when.
#[derive(Default)]
pub(super) struct KnownProtocols(Mutex<HashMap<(String, String), (u64, Protocol)>>);

impl Services {
    /// All networks that services bridge to. What no service says anything of is left out.
    pub async fn protocols(&self) -> BTreeMap<String, Protocol> {
        let mut names: Vec<&str> = self
            .listening()
            .flat_map(|service| service.protocols().iter().map(String::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        let found = join_all(names.iter().map(|name| self.protocol(name))).await;
        let found = names.into_iter().zip(found);
        found.filter_map(|(name, found)| Some((name.to_owned(), found?))).collect()
    }

    /// One network; `None` if no service bridges to it. Several services that do are one network
    /// with the instances of all.
    pub async fn protocol(&self, name: &str) -> Option<Protocol> {
        let asked = self.bridging_to(name).map(|service| self.protocol_of(service, name));
        let mut said = join_all(asked).await.into_iter().flatten();
        let mut protocol = said.next()?;
        protocol.instances.extend(said.flat_map(|other| other.instances));
        Some(protocol)
    }

    async fn protocol_of(&self, service: &AppService, name: &str) -> Option<Protocol> {
        let key = (service.id().to_owned(), name.to_owned());
        let now = self.data().env().now_millis();
        if let Some((until, known)) = self.0.protocols.0.lock().get(&key)
            && *until > now
        {
            return Some(known.clone());
        }
        let mut said: Value = self.look_up(service, &["protocol", name], &[]).await?;
        // Not every bridge has a picture.
        said.as_object_mut()?.entry("icon").or_insert_with(|| "".into());
        let mut protocol: Protocol = serde_json::from_value(said).ok()?;
        for instance in &mut protocol.instances {
            let id = Network::instance_id(service.id(), &instance.network_id);
            instance.instance_id = Some(id);
        }
        self.0.protocols.0.lock().insert(key, (now + KNOWN_MS, protocol.clone()));
        Some(protocol)
    }

    /// Places of a network that fit some fields.
    pub async fn locations(&self, protocol: &str, fields: &[(&str, &str)]) -> Vec<Location> {
        self.found(self.bridging_to(protocol), &["location", protocol], fields).await
    }

    /// People of a network who fit some fields.
    pub async fn users(&self, protocol: &str, fields: &[(&str, &str)]) -> Vec<User> {
        self.found(self.bridging_to(protocol), &["user", protocol], fields).await
    }

    /// Places of any network that lie behind an alias.
    pub async fn locations_of(&self, alias: &RoomAliasId) -> Vec<Location> {
        let bridging = self.listening().filter(|service| !service.protocols().is_empty());
        self.found(bridging, &["location"], &[("alias", alias.as_str())]).await
    }

    /// People of any network who have a user id.
    pub async fn users_of(&self, user: &UserId) -> Vec<User> {
        let bridging = self.listening().filter(|service| !service.protocols().is_empty());
        self.found(bridging, &["user"], &[("userid", user.as_str())]).await
    }

    fn bridging_to(&self, protocol: &str) -> impl Iterator<Item = &Arc<AppService>> {
        self.listening().filter(move |service| service.protocols().iter().any(|it| it == protocol))
    }

    /// What all services say, one after the other; all are asked at once.
    async fn found<'s, T: DeserializeOwned>(
        &'s self,
        services: impl Iterator<Item = &'s Arc<AppService>>,
        what: &[&str],
        query: &[(&str, &str)],
    ) -> Vec<T> {
        let asked =
            services.map(|service| self.look_up::<Vec<Box<RawValue>>>(service, what, query));
        let said = join_all(asked).await.into_iter().flatten();
        let each = said.flat_map(|found| found.into_iter().take(FOUND_MAX));
        // What is not as it should be is not passed on.
        each.filter_map(|found| serde_json::from_str(found.get()).ok()).collect()
    }

    async fn look_up<T: DeserializeOwned>(
        &self,
        service: &AppService,
        what: &[&str],
        query: &[(&str, &str)],
    ) -> Option<T> {
        let path = [&["_matrix", "app", "v1", "thirdparty"], what].concat();
        let old_path = [&["_matrix", "app", "unstable", "thirdparty"], what].concat();
        let question = Question {
            method: Method::GET,
            path: &path,
            old_path: &old_path,
            query,
            body: None,
            time: ANSWER_TIME,
        };
        match self.0.asker.ask(service, &question).await {
            Ok(reply) => reply.json(),
            Err(error) => {
                tracing::debug!(service = service.id(), %error, "no answer");
                None
            }
        }
    }
}
