//! Device keys: what a device publishes about itself.

use blaupause_data::Write;
use ruma::{DeviceId, UserId, encryption::DeviceKeys, serde::Raw};
use serde_json::Value;

use crate::{
    E2ee, E2eeError,
    rows::DeviceKeysRow,
    signatures::{KeyObject, check_key_shape},
};

/// Bytes of one device's keys, signatures included.
const DEVICE_KEYS_BYTES_MAX: usize = 16 * 1024;

impl E2ee {
    /// Check uploaded device keys and note in `write` what they change. Returns whether they
    /// change anything.
    ///
    /// Keys of a device as it uploads them. Clients know a device by its keys (spec: "Device keys").
    pub(crate) async fn put_device_keys(
        &self,
        write: &mut Write,
        user: &UserId,
        device: &DeviceId,
        keys: &Raw<DeviceKeys>,
    ) -> Result<bool, E2eeError> {
        let object = checked_device_keys(user, device, keys)?;
        let part = self.data().parts().user(user);
        let key = device.to_string();
        let old = self.data().get::<DeviceKeysRow>(part, &key).await?;
        let version = old.as_ref().map_or(0, |row| row.version);
        let mut json = object.into_value();
        if let Some(old) = old {
            let old: Value = serde_json::from_str(&old.value).unwrap_or_default();
            if old.get("keys") == json.get("keys") {
                // Signatures that others made stay.
                crate::signatures::merge_signatures(&mut json, &old);
            } else {
                // A client that lost its keys. Those who talk to it see that it is another one:
                // nobody's signature of the old keys is left.
                tracing::info!(%user, %device, "a device has other identity keys now");
            }
            if old == json {
                return Ok(false);
            }
        }
        let json = json.to_string();
        if json.len() > DEVICE_KEYS_BYTES_MAX {
            return Err(E2eeError::TooLarge("device keys"));
        }
        write.require_version::<DeviceKeysRow>(part, &key, version);
        write.put_version::<DeviceKeysRow>(part, &key, version + 1, &json);
        Ok(true)
    }
}

/// The shape that the specification asks for ("POST /keys/upload"), and the device's own
/// signature. Wrong keys would go out to every server that asks.
pub(crate) fn checked_device_keys(
    user: &UserId,
    device: &DeviceId,
    raw: &Raw<DeviceKeys>,
) -> Result<KeyObject, E2eeError> {
    let wrong = |what: &str| E2eeError::InvalidKeys(format!("device_keys: {what}"));
    let keys: DeviceKeys =
        raw.deserialize().map_err(|_| wrong("does not have the specified shape"))?;
    if keys.user_id != user || keys.device_id != device {
        return Err(wrong("user_id and device_id must be those of the uploading device"));
    }
    for (id, key) in &keys.keys {
        if id.key_name() != device {
            return Err(wrong("key ids must name the uploading device"));
        }
        if id.algorithm() == ruma::DeviceKeyAlgorithm::Curve25519 {
            check_key_shape(key)?;
        }
    }
    let object = KeyObject::parse(raw.json().get())?;
    let own = format!("ed25519:{device}");
    let Some((_, text)) = object.keys().find(|(id, _)| **id == own) else {
        return Err(wrong("there is no ed25519 key"));
    };
    // Clients verify the signature, and trust no keys without; a wrong one is of no use to anybody.
    if object.signature(user, &own).is_some() {
        let public = object.key(&own).ok_or_else(|| wrong("not an ed25519 key"))?;
        object.verify(user, &own, &public)?;
    } else {
        check_key_shape(text)?;
    }
    Ok(object)
}
