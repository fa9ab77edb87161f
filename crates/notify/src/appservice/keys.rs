//! Keys that services keep themselves: one-time keys are claimed from them (MSC3983), device keys
//! asked of them (MSC3984). Only of users who are theirs alone, and only if the registration says
//! that they want it.

use std::{collections::BTreeMap, sync::Arc};

use blaupause_accounts::AppService;
use blaupause_e2ee::UserKeys;
use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use ruma::{
    OneTimeKeyId, OwnedDeviceId, OwnedOneTimeKeyId, OwnedUserId, UserId,
    encryption::{CrossSigningKey, DeviceKeys, OneTimeKey},
    serde::Raw,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Services, ask::Question, queries::ANSWER_TIME};

/// Bytes of one key that a service gives.
const KEY_BYTES_MAX: usize = 16 * 1024;

/// One-time keys that are wanted: by user and device, algorithms.
pub type WantedKeys = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, Vec<String>>>;
/// One-time keys that were handed out.
pub type HandedOut =
    BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>>>;

/// What a service says to a query for keys.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidKeys {
    device_keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, Raw<DeviceKeys>>>,
    master_keys: BTreeMap<OwnedUserId, Raw<CrossSigningKey>>,
    self_signing_keys: BTreeMap<OwnedUserId, Raw<CrossSigningKey>>,
    user_signing_keys: BTreeMap<OwnedUserId, Raw<CrossSigningKey>>,
}

impl Services {
    /// Claim keys from services, for devices that have none in stock here. What they give is taken
    /// out of `wanted`; the rest is to be claimed here, where there may be a fallback key.
    pub async fn claim_keys(&self, wanted: &mut WantedKeys) -> HandedOut {
        let mut given = HandedOut::new();
        let claiming: Vec<_> =
            self.listening().filter(|service| service.encryption().claims).collect();
        for service in claiming {
            let Some(question) = self.to_claim(service, wanted).await else { continue };
            let path = ["_matrix", "app", "unstable", "org.matrix.msc3983", "keys", "claim"];
            let Some(said) = self.post::<_, HandedOut>(service, &path, &question).await else {
                continue;
            };
            for (user, devices) in said {
                for (device, keys) in devices {
                    let Some(open) = wanted.get_mut(&user).and_then(|it| it.get_mut(&device))
                    else {
                        continue;
                    };
                    if question.get(&user).is_none_or(|asked| !asked.contains_key(&device)) {
                        continue;
                    }
                    let of_user = given.entry(user.clone()).or_default();
                    take(open, keys, of_user.entry(device).or_default());
                }
            }
        }
        given
    }

    /// The part of `wanted` that a service is asked for.
    async fn to_claim(&self, service: &AppService, wanted: &WantedKeys) -> Option<WantedKeys> {
        let mut question = WantedKeys::new();
        for (user, devices) in wanted.iter().filter(|(user, _)| service.owns_user(user)) {
            for (device, algorithms) in devices {
                let Ok(counts) = self.0.e2ee.key_counts(user, device).await else { continue };
                let is_out = |algorithm: &&String| {
                    counts.one_time.get(*algorithm).is_none_or(|count| *count == 0)
                };
                let absent: Vec<_> = algorithms.iter().filter(is_out).cloned().collect();
                if !absent.is_empty() {
                    let of_user = question.entry(user.clone()).or_default();
                    of_user.insert(device.clone(), absent);
                }
            }
        }
        (!question.is_empty()).then_some(question)
    }

    /// Put what services say of their users' keys on top of what is known here. `asking` alone sees
    /// their own user-signing key.
    pub async fn query_keys(
        &self,
        asking: Option<&UserId>,
        wanted: &BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
        known: &mut BTreeMap<OwnedUserId, UserKeys>,
    ) {
        let queried = self.listening().filter(|service| service.encryption().queries);
        let asked = queried.map(|service| self.query_service(service, wanted));
        for said in join_all(asked).await.into_iter().flatten() {
            said.merge(asking, known);
        }
    }

    async fn query_service(
        &self,
        service: &Arc<AppService>,
        wanted: &BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
    ) -> Option<SaidKeys> {
        let question: BTreeMap<_, _> =
            wanted.iter().filter(|(user, _)| service.owns_user(user)).collect();
        if question.is_empty() {
            return None;
        }
        let path = ["_matrix", "app", "unstable", "org.matrix.msc3984", "keys", "query"];
        let mut said: SaidKeys = self.post(service, &path, &question).await?;
        said.keep_asked(&question);
        Some(said)
    }

    async fn post<Q: Serialize, T: DeserializeOwned>(
        &self,
        service: &AppService,
        path: &[&str],
        question: &Q,
    ) -> Option<T> {
        let body = serde_json::to_vec(question).expect("plain data is JSON");
        let question = Question {
            method: Method::POST,
            path,
            old_path: &[],
            query: &[],
            body: Some(Bytes::from(body)),
            time: ANSWER_TIME,
        };
        match self.0.asker.ask(service, &question).await {
            Ok(reply) => reply.json(),
            Err(error) => {
                tracing::debug!(service = service.id(), %error, "no keys");
                None
            }
        }
    }
}

/// Take keys of algorithms that are wanted, as many as are wanted.
fn take(
    open: &mut Vec<String>,
    keys: BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>,
    given: &mut BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>,
) {
    for (id, key) in keys {
        let algorithm = OneTimeKeyId::algorithm(&id).to_string();
        let fits = key.json().get().len() <= KEY_BYTES_MAX && key.deserialize().is_ok();
        if let Some(at) = open.iter().position(|wanted| *wanted == algorithm).filter(|_| fits) {
            open.remove(at);
            given.insert(id, key);
        }
    }
}

impl SaidKeys {
    /// A service speaks for the users and devices it was asked for, under their names.
    fn keep_asked(&mut self, asked: &BTreeMap<&OwnedUserId, &Vec<OwnedDeviceId>>) {
        self.device_keys.retain(|user, _| asked.contains_key(user));
        for (user, devices) in &mut self.device_keys {
            let wanted = asked.get(user).map(|wanted| wanted.as_slice()).unwrap_or_default();
            devices.retain(|device, keys| {
                (wanted.is_empty() || wanted.contains(device))
                    && keys.json().get().len() <= KEY_BYTES_MAX
                    && keys
                        .deserialize()
                        .is_ok_and(|keys| keys.user_id == *user && keys.device_id == *device)
            });
        }
        for keys in
            [&mut self.master_keys, &mut self.self_signing_keys, &mut self.user_signing_keys]
        {
            keys.retain(|user, key| {
                asked.contains_key(user)
                    && key.json().get().len() <= KEY_BYTES_MAX
                    && key.deserialize().is_ok_and(|key| key.user_id == *user)
            });
        }
    }

    fn merge(self, asking: Option<&UserId>, known: &mut BTreeMap<OwnedUserId, UserKeys>) {
        for (user, devices) in self.device_keys {
            known.entry(user).or_default().devices.extend(devices);
        }
        for (user, key) in self.master_keys {
            known.entry(user).or_default().master = Some(key);
        }
        for (user, key) in self.self_signing_keys {
            known.entry(user).or_default().self_signing = Some(key);
        }
        for (user, key) in self.user_signing_keys {
            if asking == Some(&*user) {
                known.entry(user).or_default().user_signing = Some(key);
            }
        }
    }
}
