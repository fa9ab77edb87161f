//! Signed JSON objects of keys: checking and merging signatures (spec: appendices,
//! "Signing JSON"; client-server API, "Cross-signing").

use std::collections::{BTreeMap, BTreeSet};

use blaupause_data::{Change, DataError, Found, ReadSet, Write};
use ruma::{
    CanonicalJsonValue, OwnedUserId, UserId, canonical_json::to_canonical_value, serde::Raw,
};
use serde_json::{Map, Value, value::RawValue};
use vodozemac::{Curve25519PublicKey, Ed25519PublicKey, Ed25519Signature};

use crate::{
    E2ee, E2eeError,
    rows::{CrossSigningRow, DeviceKeysRow, MySignaturesRow, SignedRow, Usage},
};

/// Signatures that one request may upload.
const SIGNATURES_MAX: usize = 1_000;
/// Bytes of a key object with all its signatures.
const SIGNED_BYTES_MAX: usize = 64 * 1024;
/// Bytes of key objects in one batch, within the store's limits.
const BATCH_BYTES_MAX: usize = 700_000;
/// Attempts while others change the same keys.
const ATTEMPTS_MAX: usize = 5;

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

/// A public key is 32 bytes in base64.
pub(crate) fn check_key_shape(key: &str) -> Result<(), E2eeError> {
    Curve25519PublicKey::from_base64(key)
        .map(drop)
        .map_err(|_| E2eeError::InvalidKeys("not a public key of 32 bytes in base64".into()))
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

impl E2ee {
    /// Take signatures that `user` made (`POST /keys/signatures/upload`). Each is checked against
    /// the stored object and the signing key; what fails is reported, the rest is kept. Two round
    /// trips and a batch, unless somebody else changes the same keys.
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
        for _ in 0..ATTEMPTS_MAX {
            match self.try_upload_signatures(user, signed).await {
                Err(E2eeError::Data(DataError::Conflict { .. })) => {}
                done => return done,
            }
        }
        Err(DataError::Unavailable("others change the same keys".into()).into())
    }

    async fn try_upload_signatures(
        &self,
        user: &UserId,
        signed: &BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>>,
    ) -> Result<SignatureFailures, E2eeError> {
        let mut failures = SignatureFailures::new();
        let mut fail = |target: &UserId, id: &str, error| {
            failures.entry(target.to_owned()).or_default().insert(id.to_owned(), error);
        };
        let mut objects = Vec::new();
        for (target, of_target) in signed {
            for (id, object) in of_target {
                match KeyObject::parse(object.get()) {
                    Ok(object) => objects.push((target, id, object)),
                    Err(error) => fail(target, id, error),
                }
            }
        }
        let mut desk = self.desk(user, &objects).await?;
        for (target, id, object) in &objects {
            let done = match *target == user {
                true => desk.sign_own(id, object),
                false => desk.sign_other(target, id, object),
            };
            if let Err(error) = done {
                fail(target, id, error);
            }
        }
        self.write_signed(desk).await?;
        Ok(failures)
    }

    /// Everything that the objects are checked against. One round trip.
    async fn desk(
        &self,
        user: &UserId,
        objects: &[(&OwnedUserId, &String, KeyObject)],
    ) -> Result<Desk, E2eeError> {
        let parts = self.data().parts();
        let part = parts.user(user);
        let mut devices: BTreeSet<String> = BTreeSet::new();
        let mut others: BTreeSet<&OwnedUserId> = BTreeSet::new();
        for (target, id, object) in objects {
            if *target == user {
                devices.insert((*id).clone());
                devices.extend(object.signature_ids(user).map(key_name));
            } else {
                others.insert(target);
            }
        }
        let mut want = ReadSet::new();
        let devices = devices.into_iter().map(|name| {
            let slot = want.get::<DeviceKeysRow>(part, &name);
            (name, slot)
        });
        let devices: Vec<_> = devices.collect();
        let own = Usage::ALL.map(|usage| want.get::<CrossSigningRow>(part, &(usage as u8)));
        let master = &(Usage::Master as u8);
        let others = others
            .into_iter()
            .map(|other| (other.clone(), want.get::<CrossSigningRow>(parts.user(other), master)));
        let others: Vec<_> = others.collect();
        let got = want.run(self.data()).await?;
        let mut desk = Desk {
            user: user.to_owned(),
            devices: BTreeMap::new(),
            own: [None, None, None],
            masters: BTreeMap::new(),
            mine: BTreeMap::new(),
        };
        for (name, slot) in devices {
            if let Some(row) = got.one(slot)? {
                desk.devices.insert(name, Stored::of(row));
            }
        }
        for (stored, slot) in desk.own.iter_mut().zip(own) {
            *stored = got.one(slot)?.map(Stored::of);
        }
        for (other, slot) in others {
            if let Some(row) = got.one(slot)? {
                desk.masters.insert(other, row.value);
            }
        }
        Ok(desk)
    }

    async fn write_signed(&self, desk: Desk) -> Result<(), E2eeError> {
        let user = &desk.user;
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        let mut bytes = 0;
        let changed = desk.devices.iter().filter(|(_, stored)| stored.changed);
        for (name, Stored { version, json, .. }) in changed {
            if bytes > BATCH_BYTES_MAX {
                bytes = 0;
                self.data().commit(std::mem::replace(&mut write, Write::new(part))).await?;
            }
            bytes += json.len();
            write.require_version::<DeviceKeysRow>(part, name, *version);
            write.put_version::<DeviceKeysRow>(part, name, version + 1, json);
        }
        for (usage, stored) in Usage::ALL.into_iter().zip(&desk.own) {
            let Some(Stored { version, json, changed: true }) = stored else { continue };
            write.require_version::<CrossSigningRow>(part, &(usage as u8), *version);
            write.put_version::<CrossSigningRow>(part, &(usage as u8), version + 1, json);
        }
        for (key, signature) in &desk.mine {
            write.put::<MySignaturesRow>(part, key, signature);
        }
        // Nobody else sees these, but the signer's devices must look at the signed keys again.
        let signed: BTreeSet<_> = desk.mine.keys().map(|(target, _)| target).collect();
        for target in signed {
            write.put::<SignedRow>(part, target, &());
            write.change(&Change::Signed { signer: user.clone(), of: target.clone() });
        }
        if desk.devices.values().chain(desk.own.iter().flatten()).any(|stored| stored.changed) {
            self.note_devices_changed(&mut write, user).await?;
        }
        if !write.is_empty() {
            self.data().commit(write).await?;
        }
        Ok(())
    }
}

/// A stored key object, with the signatures that were accepted so far.
#[derive(Debug)]
struct Stored {
    version: u64,
    json: String,
    changed: bool,
}

impl Stored {
    fn of(row: Found<String>) -> Self {
        Self { version: row.version, json: row.value, changed: false }
    }
}

/// What signatures of one user are checked against, and what they change. Pure.
#[derive(Debug)]
struct Desk {
    user: OwnedUserId,
    /// The user's own devices, as far as they are named.
    devices: BTreeMap<String, Stored>,
    /// The user's own cross-signing keys, in the order of [`Usage::ALL`].
    own: [Option<Stored>; 3],
    /// Master keys of others.
    masters: BTreeMap<OwnedUserId, String>,
    /// Signatures on other people's master keys: only the signer sees them.
    mine: BTreeMap<(OwnedUserId, String), String>,
}

impl Desk {
    /// The user signs one of their own devices (with the self-signing key) or their own master
    /// key (with a device key). Everybody sees it.
    fn sign_own(&mut self, id: &str, object: &KeyObject) -> Result<(), E2eeError> {
        let is_device = self.devices.contains_key(id);
        let [master, self_signing, _] = &self.own;
        let stored = match self.devices.get(id) {
            Some(stored) => stored,
            None => {
                let master = master.as_ref().filter(|master| names_key(&master.json, id));
                master.ok_or(E2eeError::DeviceUnknown)?
            }
        };
        let keys = KeyObject::parse(&stored.json)?;
        if keys.signed_part() != object.signed_part() {
            return Err(not_the_stored_one());
        }
        for (id, signature) in object.signatures_by(&self.user) {
            if keys.signature(&self.user, id) == Some(signature) {
                continue;
            }
            let device = self.devices.get(&key_name(id)).filter(|_| !is_device);
            let signer = device.or(self_signing.as_ref()).ok_or_else(|| unknown_key(id))?;
            let public = KeyObject::parse(&signer.json)?.key(id);
            object.verify(&self.user, id, &public.ok_or_else(|| unknown_key(id))?)?;
        }
        let before = keys.into_value();
        let mut merged = before.clone();
        merge_signatures(&mut merged, &object.clone().into_value());
        if merged == before {
            return Ok(());
        }
        let json = merged.to_string();
        if json.len() > SIGNED_BYTES_MAX {
            return Err(E2eeError::TooLarge("signatures of one key"));
        }
        let stored = match self.devices.get_mut(id) {
            Some(stored) => Some(stored),
            None => self.own[0].as_mut(),
        };
        if let Some(stored) = stored {
            (stored.json, stored.changed) = (json, true);
        }
        Ok(())
    }

    /// The user signs somebody else's master key with their user-signing key.
    fn sign_other(
        &mut self,
        target: &OwnedUserId,
        id: &str,
        object: &KeyObject,
    ) -> Result<(), E2eeError> {
        let master = self.masters.get(target).filter(|json| names_key(json, id));
        let master = KeyObject::parse(master.ok_or(E2eeError::DeviceUnknown)?)?;
        if master.signed_part() != object.signed_part() {
            return Err(not_the_stored_one());
        }
        let mine = self.own[2].as_ref().ok_or(E2eeError::NoMasterKey)?;
        let mine = KeyObject::parse(&mine.json)?;
        let mut good = Vec::new();
        for (key_id, signature) in object.signatures_by(&self.user) {
            let public = mine.key(key_id).ok_or_else(|| unknown_key(key_id))?;
            object.verify(&self.user, key_id, &public)?;
            good.push(((target.clone(), key_id.clone()), signature.to_owned()));
        }
        self.mine.extend(good);
        Ok(())
    }
}

/// The part of a key id behind the algorithm: a device, or a cross-signing key itself.
fn key_name(id: &str) -> String {
    id.strip_prefix("ed25519:").unwrap_or(id).to_owned()
}

fn unknown_key(id: &str) -> E2eeError {
    E2eeError::InvalidSignature(format!("{id}: unknown key"))
}

fn not_the_stored_one() -> E2eeError {
    E2eeError::InvalidKeys("the signed object is not the stored one".into())
}

/// Whether a cross-signing key object holds the public key `id` (which is the key itself).
fn names_key(json: &str, id: &str) -> bool {
    KeyObject::parse(json).is_ok_and(|object| object.keys().any(|(_, key)| key == id))
}

/// JSON text as a raw value of a type.
pub(crate) fn to_raw<T>(value: &Value) -> Option<Raw<T>> {
    serde_json::from_value(value.clone()).ok()
}
