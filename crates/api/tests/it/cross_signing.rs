//! Cross-signing keys as clients make them. Any Ed25519 key will do: those of Olm accounts.

use serde_json::{Value, json};
use vodozemac::olm::Account;

/// Somebody's cross-signing keys.
pub struct CrossSigning {
    user: String,
    master: Account,
    self_signing: Account,
    user_signing: Account,
}

impl CrossSigning {
    pub fn new(user: &str) -> Self {
        let [master, self_signing, user_signing] = [Account::new(), Account::new(), Account::new()];
        Self { user: user.to_owned(), master, self_signing, user_signing }
    }

    /// The body of the upload.
    pub fn upload(&self) -> Value {
        let signed = |usage: &str, key: &Account| self.signed(self.key(usage, key), &self.master);
        json!({
            "master_key": self.key("master", &self.master),
            "self_signing_key": signed("self_signing", &self.self_signing),
            "user_signing_key": signed("user_signing", &self.user_signing),
        })
    }

    /// Device keys with the person's signature.
    pub fn sign_device(&self, device_keys: Value) -> Value {
        self.signed(device_keys, &self.self_signing)
    }

    fn key(&self, usage: &str, account: &Account) -> Value {
        let public = public(account);
        let keys = json!({ format!("ed25519:{public}"): public });
        json!({ "user_id": self.user, "usage": [usage], "keys": keys })
    }

    /// Keys are sorted in serde_json's objects, so their text is canonical.
    fn signed(&self, mut object: Value, with: &Account) -> Value {
        let fields = object.as_object_mut().expect("an object");
        fields.remove("signatures");
        let signature = with.sign(object.to_string().as_bytes()).to_base64();
        let id = format!("ed25519:{}", public(with));
        object["signatures"] = json!({ &self.user: { id: signature } });
        object
    }
}

fn public(account: &Account) -> String {
    account.identity_keys().ed25519.to_base64()
}
