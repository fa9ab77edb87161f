//! What of another server's answer is believed. Pure.

use std::collections::BTreeMap;

use ruma::{
    DeviceId, OneTimeKeyId, OwnedDeviceId, UserId,
    encryption::{CrossSigningKey, DeviceKeys, OneTimeKey},
    serde::Raw,
};
use serde_json::{Value, json};

use crate::{
    cross_signing, device_keys,
    rows::Usage,
    signatures::{KeyObject, check_key_shape},
};

/// Devices of one remote user that are looked at.
const DEVICES_MAX: usize = 1_000;
/// Bytes of one device's keys, and of a cross-signing key.
const KEY_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a one-time key.
const ONE_TIME_KEY_BYTES_MAX: usize = 4 * 1024;
/// Characters of a device's name.
const NAME_CHARS_MAX: usize = 100;

/// Keys of a remote user as JSON text, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CheckedKeys {
    pub devices: BTreeMap<OwnedDeviceId, String>,
    pub master: Option<String>,
    pub self_signing: Option<String>,
}

impl CheckedKeys {
    /// Devices with their names, and the cross-signing keys, as far as they are right.
    pub fn of(
        user: &UserId,
        devices: impl IntoIterator<Item = (OwnedDeviceId, Raw<DeviceKeys>, Option<String>)>,
        master: Option<&Raw<CrossSigningKey>>,
        self_signing: Option<&Raw<CrossSigningKey>>,
    ) -> Self {
        let devices = devices.into_iter().take(DEVICES_MAX).filter_map(|(id, keys, name)| {
            let keys = device(user, &id, &keys, name.as_deref())?;
            Some((id, keys))
        });
        let devices = devices.collect();
        let master = master.and_then(|key| signing_key(user, Usage::Master, key));
        let self_signing = self_signing
            .and_then(|key| signing_key(user, Usage::SelfSigning, key))
            .filter(|key| is_signed_by(user, key, master.as_ref()));
        let as_text = |key: KeyObject| key.into_value().to_string();
        Self { devices, master: master.map(as_text), self_signing: self_signing.map(as_text) }
    }

    pub fn bytes(&self) -> usize {
        let devices = self.devices.iter().map(|(id, keys)| id.as_str().len() + keys.len() + 64);
        let signing = [&self.master, &self.self_signing].into_iter().flatten().map(String::len);
        devices.sum::<usize>() + signing.sum::<usize>()
    }
}

/// Device keys with the device's name in the place where clients look for it.
pub(super) fn device(
    user: &UserId,
    id: &DeviceId,
    keys: &Raw<DeviceKeys>,
    name: Option<&str>,
) -> Option<String> {
    if keys.json().get().len() > KEY_BYTES_MAX {
        return None;
    }
    let object = device_keys::checked_device_keys(user, id, keys).ok()?;
    let mut value = object.into_value();
    let object = value.as_object_mut()?;
    let unsigned = object.remove("unsigned");
    let said = unsigned.as_ref().and_then(|it| it.get("device_display_name")?.as_str());
    if let Some(name) = name.or(said) {
        let name: String = name.chars().take(NAME_CHARS_MAX).collect();
        object.insert("unsigned".into(), json!({ "device_display_name": name }));
    }
    Some(value.to_string())
}

fn signing_key(user: &UserId, usage: Usage, key: &Raw<CrossSigningKey>) -> Option<KeyObject> {
    if key.json().get().len() > KEY_BYTES_MAX {
        return None;
    }
    cross_signing::checked(user, usage, key).ok()
}

fn is_signed_by(user: &UserId, key: &KeyObject, master: Option<&KeyObject>) -> bool {
    let signed = || {
        let (id, _) = cross_signing::single_key(master?).ok()?;
        let public = master?.key(&id)?;
        key.verify(user, &id, &public).ok()
    };
    signed().is_some()
}

/// Whether a one-time key is of the algorithm asked for, well formed, and signed by its device, as
/// far as that device is known.
pub(super) fn is_one_time_key(
    user: &UserId,
    device: &DeviceId,
    algorithm: &str,
    id: &OneTimeKeyId,
    key: &Raw<OneTimeKey>,
    known: Option<&str>,
) -> bool {
    if id.algorithm().as_str() != algorithm || key.json().get().len() > ONE_TIME_KEY_BYTES_MAX {
        return false;
    }
    match key.deserialize() {
        Ok(OneTimeKey::SignedKey(signed)) => {
            check_key_shape(&signed.key.encode()).is_ok()
                && known.is_none_or(|known| is_signed_by_device(user, device, key, known))
        }
        Ok(_) => true,
        Err(_) => false,
    }
}

fn is_signed_by_device(
    user: &UserId,
    device: &DeviceId,
    key: &Raw<OneTimeKey>,
    known: &str,
) -> bool {
    let signed = || {
        let id = format!("ed25519:{device}");
        let public = KeyObject::parse(known).ok()?.key(&id)?;
        KeyObject::parse(key.json().get()).ok()?.verify(user, &id, &public).ok()
    };
    signed().is_some()
}

/// The name that a device has in its stored keys.
pub(super) fn with_name(keys: &str, name: Option<&str>) -> Option<String> {
    let mut value: Value = serde_json::from_str(keys).ok()?;
    let object = value.as_object_mut()?;
    object.remove("unsigned");
    if let Some(name) = name {
        let name: String = name.chars().take(NAME_CHARS_MAX).collect();
        object.insert("unsigned".into(), json!({ "device_display_name": name }));
    }
    Some(value.to_string())
}
