//! Keys of remote users, for somebody of this server (`POST /keys/query`).

use std::collections::{BTreeMap, HashSet};

use blaupause_data::{Found, Order, ReadSet, together};
use blaupause_federation::{CallLimits, FederationError};
use ruma::{
    OwnedDeviceId, OwnedServerName, OwnedUserId, ServerName, UserId,
    api::federation::keys::get_keys::v1::{Request, Response},
};

use super::{Failures, KEYS_TIME, checked::CheckedKeys};
use crate::{
    E2ee, E2eeError, UserKeys,
    query::with_signatures,
    rows::{MySignaturesRow, RemoteList, raw},
};

/// Users that one request asks a server for.
const USERS_PER_REQUEST: usize = 500;

/// Signatures of one person on one master key.
const SIGNATURES_MAX: u32 = 100;

/// What other servers say.
#[derive(Debug, Default)]
pub struct RemoteKeysAnswer {
    pub keys: BTreeMap<OwnedUserId, UserKeys>,
    /// Servers that could not be asked. What was known of their users before is in the keys.
    pub failures: Failures,
}

/// Users of one server that have to be asked for.
type Unknown = Vec<(OwnedUserId, Option<Found<RemoteList>>)>;

impl E2ee {
    /// Keys of remote users: what is kept, and what their servers say, all asked at the same time.
    /// An empty device list asks for all devices.
    ///
    /// # Errors
    /// The store failed.
    pub async fn query_remote_keys(
        &self,
        asking: &UserId,
        wanted: &BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
    ) -> Result<RemoteKeysAnswer, E2eeError> {
        let users: Vec<_> =
            wanted.keys().filter(|user| !self.data().is_local(user)).cloned().collect();
        let mut answer = RemoteKeysAnswer::default();
        if users.is_empty() {
            return Ok(answer);
        }
        let mut fresh = Vec::new();
        let mut unknown: BTreeMap<OwnedServerName, Unknown> = BTreeMap::new();
        for (user, list) in users.iter().zip(self.remote_lists(&users).await?) {
            let is_doubted = self.remote().doubted.lock().contains(user);
            if list.as_ref().is_some_and(|list| list.is_fresh) && !is_doubted {
                fresh.push(user.clone());
            } else {
                let of_server = unknown.entry(user.server_name().to_owned()).or_default();
                of_server.push((user.clone(), list));
            }
        }
        answer.keys = self.kept_keys(&fresh).await?;
        self.ask_servers(asking, unknown, &mut answer).await?;
        self.add_own_signatures(asking, &mut answer.keys).await?;
        for (user, keys) in &mut answer.keys {
            let devices = wanted.get(user).map(Vec::as_slice).unwrap_or_default();
            keys.devices.retain(|device, _| devices.is_empty() || devices.contains(device));
        }
        Ok(answer)
    }

    /// Their servers do not know what `asking` signed of their keys: only `asking` sees it. One read.
    async fn add_own_signatures(
        &self,
        asking: &UserId,
        keys: &mut BTreeMap<OwnedUserId, UserKeys>,
    ) -> Result<(), E2eeError> {
        let part = self.data().parts().user(asking);
        let mut want = ReadSet::new();
        let signed = keys.iter_mut().filter_map(|(user, keys)| {
            let master = keys.master.as_mut()?;
            let slot = want.prefix::<MySignaturesRow>(part, user, Order::Forward, SIGNATURES_MAX);
            Some((master, slot))
        });
        let signed: Vec<_> = signed.collect();
        if signed.is_empty() {
            return Ok(());
        }
        let got = want.run(self.data()).await?;
        for (master, slot) in signed {
            let mine = got.many(slot)?.rows.into_iter().map(|((_, id), row)| (id, row.value));
            if let Some(with) = with_signatures(master.json().get(), Some(asking), mine) {
                *master = with;
            }
        }
        Ok(())
    }

    async fn ask_servers(
        &self,
        asking: &UserId,
        unknown: BTreeMap<OwnedServerName, Unknown>,
        answer: &mut RemoteKeysAnswer,
    ) -> Result<(), E2eeError> {
        let requests: Vec<_> = unknown
            .iter()
            .flat_map(|(server, users)| {
                users.chunks(USERS_PER_REQUEST).map(move |users| (server, users))
            })
            .collect();
        if requests.is_empty() {
            return Ok(());
        }
        self.remote().begin_asking(unknown.values().flatten().map(|(user, _)| user));
        let asked = requests.iter().map(|(server, users)| self.ask_server(server, users));
        let answers = together(asked).await;
        let kept: HashSet<_> = unknown
            .values()
            .flatten()
            .filter(|(user, _)| self.remote().end_asking(user))
            .map(|(user, _)| user.clone())
            .collect();
        let mut told = Vec::new();
        let mut not_told = Vec::new();
        for ((server, users), result) in requests.into_iter().zip(answers) {
            match result {
                Ok(keys) => told.extend(users.iter().zip(keys)),
                Err(error) => {
                    tracing::debug!(%server, %error, "no keys");
                    answer.failures.insert(server.clone(), error);
                    let known = users.iter().filter(|(_, list)| list.is_some());
                    not_told.extend(known.map(|(user, _)| user.clone()));
                }
            }
        }
        answer.keys.extend(self.kept_keys(&not_told).await?);
        let users: Vec<_> = told.iter().map(|((user, _), _)| user.clone()).collect();
        let rooms = self.data().joined_rooms(asking).await?;
        let sharing = self.data().sharing(&users, &rooms).await?;
        for ((user, known), keys) in told {
            // Changes are told to servers that share a room with the user, and to no others.
            if kept.contains(user) && sharing.contains(user) {
                self.keep_list(user, known.as_ref(), None, &keys).await?;
            }
            answer.keys.insert(user.clone(), as_user_keys(&keys));
        }
        Ok(())
    }

    /// In the order of the users.
    async fn ask_server(
        &self,
        server: &ServerName,
        users: &[(OwnedUserId, Option<Found<RemoteList>>)],
    ) -> Result<Vec<CheckedKeys>, FederationError> {
        let wanted = users.iter().map(|(user, _)| (user.clone(), Vec::new())).collect();
        let limits = CallLimits::default().within(KEYS_TIME);
        let said = self.federation().call_within(server, Request::new(wanted), limits).await?;
        let Response { mut device_keys, master_keys, self_signing_keys, .. } = said;
        let of_user = |(user, _): &(OwnedUserId, _)| {
            let devices = device_keys.remove(user).unwrap_or_default();
            let devices = devices.into_iter().map(|(id, keys)| (id, keys, None));
            let (master, own) = (master_keys.get(user), self_signing_keys.get(user));
            CheckedKeys::of(user, devices, master, own)
        };
        Ok(users.iter().map(of_user).collect())
    }
}

fn as_user_keys(keys: &CheckedKeys) -> UserKeys {
    let devices = keys.devices.iter().filter_map(|(id, json)| Some((id.clone(), raw(json)?)));
    UserKeys {
        devices: devices.collect(),
        master: keys.master.as_deref().and_then(raw),
        self_signing: keys.self_signing.as_deref().and_then(raw),
        user_signing: None,
    }
}
