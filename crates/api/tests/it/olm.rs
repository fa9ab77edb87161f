//! Keys as clients make them.

use serde_json::{Value, json};
use vodozemac::olm::Account;

/// A device with real keys.
pub struct Olm {
    pub user: String,
    pub device: String,
    account: Account,
}

impl Olm {
    pub fn new(user: &str, device: &str) -> Self {
        Self { user: user.to_owned(), device: device.to_owned(), account: Account::new() }
    }

    /// The device keys, signed by the device.
    pub fn device_keys(&self) -> Value {
        let (keys, device) = (self.account.identity_keys(), &self.device);
        self.signed(json!({
            "user_id": self.user,
            "device_id": device,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {
                format!("curve25519:{device}"): keys.curve25519.to_base64(),
                format!("ed25519:{device}"): keys.ed25519.to_base64(),
            },
        }))
    }

    /// New one-time keys, each signed by the device.
    pub fn one_time_keys(&mut self, count: usize) -> Value {
        self.account.generate_one_time_keys(count);
        let keys = self.account.one_time_keys().into_iter().map(|(id, key)| {
            let key = self.signed(json!({ "key": key.to_base64() }));
            (format!("signed_curve25519:{}", id.to_base64()), key)
        });
        let keys = keys.collect();
        self.account.mark_keys_as_published();
        Value::Object(keys)
    }

    /// The object with the device's signature. Keys are sorted in serde_json's objects, so their
    /// text is canonical.
    pub fn signed(&self, mut object: Value) -> Value {
        let signature = self.account.sign(object.to_string().as_bytes()).to_base64();
        object["signatures"] =
            json!({ &self.user: { format!("ed25519:{}", self.device): signature } });
        object
    }
}
