//! One-time keys of remote users (`POST /keys/claim`).

use std::collections::BTreeMap;

use blaupause_data::together;
use blaupause_federation::{CallLimits, FederationError};
use ruma::{
    OneTimeKeyAlgorithm, OwnedDeviceId, OwnedServerName, OwnedUserId, ServerName,
    api::federation::keys::claim_keys::v1::{OneTimeKeyClaims, OneTimeKeys, Request},
};

use super::{Failures, KEYS_TIME, checked::is_one_time_key};
use crate::{E2ee, E2eeError, rows::DeviceKeysRow};

/// Devices that one request asks a server for.
const DEVICES_PER_REQUEST: usize = 2_000;

impl E2ee {
    /// Claim keys for devices of remote users from their servers, all asked at the same time. A key
    /// that is not what was asked for, or that its device did not sign, is left out.
    ///
    /// # Errors
    /// The store failed.
    pub async fn claim_remote_keys(
        &self,
        wanted: &BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, String>>,
    ) -> Result<(OneTimeKeys, Failures), E2eeError> {
        let mut servers: BTreeMap<OwnedServerName, OneTimeKeyClaims> = BTreeMap::new();
        for (user, devices) in wanted.iter().filter(|(user, _)| !self.data().is_local(user)) {
            let devices = devices
                .iter()
                .take(DEVICES_PER_REQUEST)
                .map(|(id, kind)| (id.clone(), OneTimeKeyAlgorithm::from(kind.as_str())));
            let of_server = servers.entry(user.server_name().to_owned()).or_default();
            of_server.insert(user.clone(), devices.collect());
        }
        let (mut keys, mut failures) = (OneTimeKeys::new(), Failures::new());
        let asked = servers.iter().map(|(server, claims)| self.claim_from(server, claims));
        for (server, said) in servers.keys().zip(together(asked).await) {
            match said {
                Ok(said) => keys.extend(said),
                Err(error) => {
                    tracing::debug!(%server, %error, "no one-time keys");
                    failures.insert(server.clone(), error);
                }
            }
        }
        Ok((keys, failures))
    }

    async fn claim_from(
        &self,
        server: &ServerName,
        claims: &OneTimeKeyClaims,
    ) -> Result<OneTimeKeys, FederationError> {
        let limits = CallLimits::default().within(KEYS_TIME);
        let request = Request::new(claims.clone());
        let mut said = self.federation().call_within(server, request, limits).await?.one_time_keys;
        let known = self.known_devices(claims).await?;
        said.retain(|user, devices| {
            let Some(asked) = claims.get(user) else { return false };
            devices.retain(|device, keys| {
                let Some(algorithm) = asked.get(device) else { return false };
                let known = known.get(&(user.clone(), device.clone())).map(String::as_str);
                let is_good = |id: &_, key: &_| {
                    is_one_time_key(user, device, algorithm.as_str(), id, key, known)
                };
                keys.retain(|id, key| is_good(id, key));
                // One was asked for.
                while keys.len() > 1 {
                    keys.pop_last();
                }
                !keys.is_empty()
            });
            !devices.is_empty()
        });
        Ok(said)
    }

    /// The kept keys of these devices. One read.
    async fn known_devices(
        &self,
        claims: &OneTimeKeyClaims,
    ) -> Result<BTreeMap<(OwnedUserId, OwnedDeviceId), String>, FederationError> {
        let parts = self.data().parts();
        let devices =
            || claims.iter().flat_map(|(user, devices)| devices.keys().map(move |id| (user, id)));
        let keys: Vec<_> = devices().map(|(user, id)| (parts.user(user), id.to_string())).collect();
        let keys = keys.iter().map(|(part, key)| (*part, key));
        let rows = self.data().get_many::<DeviceKeysRow>(keys).await?;
        let known = devices()
            .zip(rows)
            .filter_map(|((user, id), row)| Some(((user.clone(), id.clone()), row?.value)));
        Ok(known.collect())
    }
}
