//! Signed JSON objects of keys: checking and merging signatures (spec: appendices,
//! "Signing JSON"; client-server API, "Cross-signing").

use std::collections::BTreeMap;

use blaupause_data::{Change, Write};
use ruma::{
    CanonicalJsonValue, OwnedUserId, UserId, canonical_json::to_canonical_value, serde::Raw,
};
use serde_json::{Map, Value, value::RawValue};
use vodozemac::{Curve25519PublicKey, Ed25519PublicKey, Ed25519Signature};

use crate::{
    E2ee, E2eeError,
    rows::{CrossSigningRow, DeviceKeysRow, MySignaturesRow, Usage},
};

/// Signatures that one request may upload.
const SIGNATURES_MAX: usize = 1_000;

/// A key object (device keys or a cross-signing key) with `keys` and `signatures`.
#[derive(Clone, Debug)]
pub(crate) struct KeyObject(Map<String, Value>);

impl KeyObject {
    pub(crate) fn parse(json: &str) -> Result<Self, E2eeError> {
        match serde_json::from_str(json) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            _ => Err(E2eeError::InvalidKeys("a key must be a JSON object".into())),
        }
    }

    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// The public key with this id, if the object has it.
    pub(crate) fn key(&self, id: &str) -> Option<Ed25519PublicKey> {
        Ed25519PublicKey::from_base64(self.0.get("keys")?.get(id)?.as_str()?).ok()
    }

    /// Ids and text of all keys of the object.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&String, &str)> {
        let keys = self.0.get("keys").and_then(Value::as_object);
        keys.into_iter().flatten().filter_map(|(id, key)| Some((id, key.as_str()?)))
    }

    /// The signature that `user` made with key `id`.
    pub(crate) fn signature(&self, user: &UserId, id: &str) -> Option<&str> {
        self.0.get("signatures")?.get(user.as_str())?.get(id)?.as_str()
    }

    /// All signatures that `user` made.
    fn signatures_by(&self, user: &UserId) -> impl Iterator<Item = (&String, &str)> {
        let by = self.0.get("signatures").and_then(|all| all.get(user.as_str()));
        let by = by.and_then(Value::as_object);
        by.into_iter().flatten().filter_map(|(id, signature)| Some((id, signature.as_str()?)))
    }

    /// Ids of the keys with which `user` signed.
    pub(crate) fn signature_ids(&self, user: &UserId) -> impl Iterator<Item = &str> {
        self.signatures_by(user).map(|(id, _)| id.as_str())
    }

    /// The object without what signatures do not cover.
    fn signed_part(&self) -> Map<String, Value> {
        let mut object = self.0.clone();
        object.remove("signatures");
        object.remove("unsigned");
        object
    }

    /// Check the signature that `user` made with `public` under the id `id`.
    pub(crate) fn verify(
        &self,
        user: &UserId,
        id: &str,
        public: &Ed25519PublicKey,
    ) -> Result<(), E2eeError> {
        let wrong = |what: &str| E2eeError::InvalidSignature(format!("{id}: {what}"));
        let signature = self.signature(user, id).ok_or_else(|| wrong("there is none"))?;
        let signature = Ed25519Signature::from_base64(signature).map_err(|_| wrong("no base64"))?;
        let signed = to_canonical_value(Value::Object(self.signed_part()))
            .map_err(|_| wrong("the object is not canonical JSON"))?;
        let CanonicalJsonValue::Object(_) = &signed else { unreachable!("was an object") };
        public
            .verify(signed.to_string().as_bytes(), &signature)
            .map_err(|_| wrong("does not verify"))
    }
}

/// A Curve25519 public key is 32 bytes in base64.
pub(crate) fn check_curve25519(key: &str) -> Result<(), E2eeError> {
    Curve25519PublicKey::from_base64(key)
        .map(drop)
        .map_err(|_| E2eeError::InvalidKeys("not a Curve25519 public key".into()))
}

/// Add to `into` the signatures of `from` that it does not have.
pub(crate) fn merge_signatures(into: &mut Value, from: &Value) {
    let Some(from) = from.get("signatures").and_then(Value::as_object) else { return };
    let Some(into) = into.as_object_mut() else { return };
    let all = into.entry("signatures").or_insert_with(|| Value::Object(Map::new()));
    let Some(all) = all.as_object_mut() else { return };
    for (user, signatures) in from {
        let mine = all.entry(user).or_insert_with(|| Value::Object(Map::new()));
        let (Some(mine), Some(signatures)) = (mine.as_object_mut(), signatures.as_object()) else {
            continue;
        };
        for (id, signature) in signatures {
            mine.entry(id).or_insert_with(|| signature.clone());
        }
    }
}

/// Which uploaded signatures were refused, and why: user, key or device id, error.
pub type SignatureFailures = BTreeMap<OwnedUserId, BTreeMap<String, E2eeError>>;

/// What one uploaded signed object did.
enum Outcome {
    /// Somebody else's master key: only the signer sees it.
    Mine,
    /// One of the user's own keys: everybody sees it.
    Own,
    /// Nothing new.
    Nothing,
}

impl E2ee {
    /// Take signatures that `user` made (`POST /keys/signatures/upload`). Each is checked against
    /// the stored object and the signing key; what fails is reported, the rest is kept.
    ///
    /// # Errors
    /// Too many signatures, or the store failed.
    pub async fn upload_signatures(
        &self,
        user: &UserId,
        signed: &BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>>,
    ) -> Result<SignatureFailures, E2eeError> {
        if signed.values().map(BTreeMap::len).sum::<usize>() > SIGNATURES_MAX {
            return Err(E2eeError::TooLarge("signatures"));
        }
        let mut failures = SignatureFailures::new();
        for (target, objects) in signed {
            for (id, object) in objects {
                if let Err(error) = self.upload_signature(user, target, id, object).await {
                    if matches!(error, E2eeError::Data(_)) {
                        return Err(error);
                    }
                    failures.entry(target.clone()).or_default().insert(id.clone(), error);
                }
            }
        }
        Ok(failures)
    }

    /// One signed object in one batch: several of a request may touch the same row.
    async fn upload_signature(
        &self,
        user: &UserId,
        target: &UserId,
        id: &str,
        object: &RawValue,
    ) -> Result<(), E2eeError> {
        let object = KeyObject::parse(object.get())?;
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        let outcome = if user == target {
            self.sign_own(&mut write, user, id, &object).await?
        } else {
            self.sign_other(&mut write, user, target, id, &object).await?
        };
        match outcome {
            Outcome::Nothing => return Ok(()),
            Outcome::Own => self.note_devices_changed(&mut write, user).await?,
            // Others do not see it, but the user's own other devices must look again.
            Outcome::Mine => write.change(&Change::Devices { user: user.to_owned() }),
        }
        self.data().commit(write).await?;
        Ok(())
    }

    /// The user signs one of their own devices (with the self-signing key) or their own master
    /// key (with a device key).
    async fn sign_own(
        &self,
        write: &mut Write,
        user: &UserId,
        id: &str,
        object: &KeyObject,
    ) -> Result<Outcome, E2eeError> {
        let part = self.data().parts().user(user);
        let device = self.data().get::<DeviceKeysRow>(part, &id.to_owned()).await?;
        let (stored, usage) = match &device {
            Some(row) => (row, None),
            None => {
                let master =
                    self.data().get::<CrossSigningRow>(part, &(Usage::Master as u8)).await?;
                let master = master.filter(|row| names_key(&row.value, id));
                (&master.ok_or(E2eeError::DeviceUnknown)?.clone(), Some(Usage::Master))
            }
        };
        let mut merged: Value = serde_json::from_str(&stored.value).unwrap_or_default();
        self.check_signatures(user, &KeyObject::parse(&stored.value)?, object, usage).await?;
        let before = merged.clone();
        merge_signatures(&mut merged, &object.clone().into_value());
        if merged == before {
            return Ok(Outcome::Nothing);
        }
        let (version, json) = (stored.version, merged.to_string());
        if let Some(usage) = usage {
            write.require_version::<CrossSigningRow>(part, &(usage as u8), version);
            write.put_version::<CrossSigningRow>(part, &(usage as u8), version + 1, &json);
        } else {
            write.require_version::<DeviceKeysRow>(part, &id.to_owned(), version);
            write.put_version::<DeviceKeysRow>(part, &id.to_owned(), version + 1, &json);
        }
        Ok(Outcome::Own)
    }

    /// The uploaded object must be the stored one, and every signature by `user` on it must
    /// verify with a key of theirs that may sign it.
    async fn check_signatures(
        &self,
        user: &UserId,
        stored: &KeyObject,
        uploaded: &KeyObject,
        usage: Option<Usage>,
    ) -> Result<(), E2eeError> {
        if stored.signed_part() != uploaded.signed_part() {
            return Err(E2eeError::InvalidKeys("the signed object is not the stored one".into()));
        }
        let part = self.data().parts().user(user);
        for (id, signature) in uploaded.signatures_by(user) {
            if stored.signature(user, id) == Some(signature) {
                continue;
            }
            let name = id.strip_prefix("ed25519:").unwrap_or(id).to_owned();
            let signer = match usage {
                Some(_) => self.data().get::<DeviceKeysRow>(part, &name).await?,
                None => None,
            };
            let signer = match signer {
                Some(row) => row,
                None => {
                    let key = &(Usage::SelfSigning as u8);
                    let row = self.data().get::<CrossSigningRow>(part, key).await?;
                    row.ok_or_else(|| E2eeError::InvalidSignature(format!("{id}: unknown key")))?
                }
            };
            let public = KeyObject::parse(&signer.value)?.key(id);
            let public =
                public.ok_or_else(|| E2eeError::InvalidSignature(format!("{id}: unknown key")))?;
            uploaded.verify(user, id, &public)?;
        }
        Ok(())
    }

    /// The user signs somebody else's master key with their user-signing key.
    async fn sign_other(
        &self,
        write: &mut Write,
        user: &UserId,
        target: &UserId,
        id: &str,
        object: &KeyObject,
    ) -> Result<Outcome, E2eeError> {
        let parts = self.data().parts();
        let master_key = &(Usage::Master as u8);
        let master = self.data().get::<CrossSigningRow>(parts.user(target), master_key).await?;
        let master = master.filter(|row| names_key(&row.value, id));
        let master = KeyObject::parse(&master.ok_or(E2eeError::DeviceUnknown)?.value)?;
        if master.signed_part() != object.signed_part() {
            return Err(E2eeError::InvalidKeys("the signed object is not the stored one".into()));
        }
        let mine = &(Usage::UserSigning as u8);
        let mine = self.data().get::<CrossSigningRow>(parts.user(user), mine).await?;
        let mine = KeyObject::parse(&mine.ok_or(E2eeError::NoMasterKey)?.value)?;
        let mut outcome = Outcome::Nothing;
        for (key_id, signature) in object.signatures_by(user) {
            let public = mine
                .key(key_id)
                .ok_or_else(|| E2eeError::InvalidSignature(format!("{key_id}: unknown key")))?;
            object.verify(user, key_id, &public)?;
            let key = (target.to_owned(), key_id.clone());
            write.put::<MySignaturesRow>(parts.user(user), &key, &signature.to_owned());
            outcome = Outcome::Mine;
        }
        Ok(outcome)
    }
}

/// Whether a cross-signing key object holds the public key `id` (which is the key itself).
fn names_key(json: &str, id: &str) -> bool {
    KeyObject::parse(json).is_ok_and(|object| object.keys().any(|(_, key)| key == id))
}

/// JSON text as a raw value of a type.
pub(crate) fn to_raw<T>(value: &Value) -> Option<Raw<T>> {
    serde_json::from_value(value.clone()).ok()
}
