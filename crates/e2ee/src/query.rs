//! Handing out public keys (`POST /keys/query`).

use std::collections::BTreeMap;

use blaupause_data::{Order, ReadSet};
use ruma::{
    OwnedDeviceId, OwnedUserId, UserId,
    encryption::{CrossSigningKey, DeviceKeys},
    serde::Raw,
};
use serde_json::{Value, json};

use crate::{
    E2ee, E2eeError,
    rows::{CrossSigningRow, DeviceKeysRow, MySignaturesRow, Usage, raw},
    signatures::to_raw,
};

/// Devices of one user that are handed out.
const DEVICES_PER_USER_MAX: u32 = 1_000;

/// The public keys of one user.
#[derive(Clone, Debug, Default)]
pub struct UserKeys {
    pub devices: BTreeMap<OwnedDeviceId, Raw<DeviceKeys>>,
    pub master: Option<Raw<CrossSigningKey>>,
    pub self_signing: Option<Raw<CrossSigningKey>>,
    /// Only shown to the user themselves.
    pub user_signing: Option<Raw<CrossSigningKey>>,
}

impl E2ee {
    /// Keys of local users, in one round trip. An empty device list asks for all devices. `asking`
    /// also sees what only they may see: their user-signing key and their signatures on others.
    ///
    /// # Errors
    /// The store failed.
    pub async fn query_keys(
        &self,
        asking: Option<&UserId>,
        wanted: &BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
    ) -> Result<BTreeMap<OwnedUserId, UserKeys>, E2eeError> {
        let parts = self.data().parts();
        let mut want = ReadSet::new();
        let local: Vec<_> = wanted
            .iter()
            .filter(|(user, _)| self.data().is_local(user))
            .map(|(user, devices)| {
                let part = parts.user(user);
                let keys =
                    want.prefix::<DeviceKeysRow>(part, &(), Order::Forward, DEVICES_PER_USER_MAX);
                let cross = want.prefix::<CrossSigningRow>(part, &(), Order::Forward, 3);
                let mine = asking.map(|asking| {
                    let part = parts.user(asking);
                    want.prefix::<MySignaturesRow>(part, user, Order::Forward, DEVICES_PER_USER_MAX)
                });
                (user, devices, keys, cross, mine)
            })
            .collect();
        let got = want.run(self.data()).await?;
        let users: Vec<&UserId> = local.iter().map(|(user, ..)| &***user).collect();
        let names = self.accounts().device_names_of(&users).await?;
        let mut answer = BTreeMap::new();
        for ((user, devices, keys, cross, mine), names) in local.into_iter().zip(names) {
            let mut found = UserKeys::default();
            let mut keys = got.many(keys)?;
            if keys.more {
                // Many devices with unusually large keys: one answer does not hold them.
                let part = parts.user(user);
                keys = self.data().list_all(part, &(), DEVICES_PER_USER_MAX).await?;
            }
            for (device, row) in keys.rows {
                let device = OwnedDeviceId::from(device);
                if !devices.is_empty() && !devices.contains(&device) {
                    continue;
                }
                let name = names.get(&device).and_then(Option::as_deref);
                if let Some(keys) = with_display_name(&row.value, name) {
                    found.devices.insert(device, keys);
                }
            }
            for (usage, row) in got.many(cross)?.rows {
                if usage == Usage::Master as u8 {
                    let mine = mine.map(|mine| got.many(mine)).transpose()?;
                    let mine = mine.map(|page| page.rows).unwrap_or_default();
                    let mine = mine.into_iter().map(|((_, id), row)| (id, row.value));
                    found.master = with_signatures(&row.value, asking, mine);
                } else if usage == Usage::SelfSigning as u8 {
                    found.self_signing = raw(&row.value);
                } else if asking == Some(user) {
                    found.user_signing = raw(&row.value);
                }
            }
            answer.insert(user.clone(), found);
        }
        Ok(answer)
    }
}

/// `unsigned.device_display_name` is the server's to fill in.
fn with_display_name(keys: &str, name: Option<&str>) -> Option<Raw<DeviceKeys>> {
    let mut keys: Value = serde_json::from_str(keys).ok()?;
    let object = keys.as_object_mut()?;
    object.remove("unsigned");
    if let Some(name) = name {
        object.insert("unsigned".into(), json!({ "device_display_name": name }));
    }
    to_raw(&keys)
}

pub(crate) fn with_signatures(
    master: &str,
    by: Option<&UserId>,
    signatures: impl Iterator<Item = (String, String)>,
) -> Option<Raw<CrossSigningKey>> {
    let Some(by) = by else { return raw(master) };
    let mut master: Value = serde_json::from_str(master).ok()?;
    let mine: serde_json::Map<_, _> =
        signatures.map(|(id, signature)| (id, Value::String(signature))).collect();
    if !mine.is_empty() {
        let mut with = serde_json::Map::new();
        with.insert(by.to_string(), Value::Object(mine));
        crate::signatures::merge_signatures(&mut master, &json!({ "signatures": with }));
    }
    to_raw(&master)
}
