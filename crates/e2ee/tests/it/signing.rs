//! Cross-signing keys and signatures, made with real keys.

use std::collections::BTreeMap;

use blaupause_e2ee::{CrossSigningUpload, E2eeError, SignatureFailures};
use ruma::{OwnedUserId, UserId, encryption::CrossSigningKey, serde::Raw};
use serde_json::{Value, json, value::RawValue};
use vodozemac::olm::Account;

use crate::people::{Device, World};

/// A person with cross-signing keys. Any Ed25519 key will do: those of Olm accounts.
struct Person {
    device: Device,
    master: Account,
    self_signing: Account,
    user_signing: Account,
}

fn public(account: &Account) -> String {
    account.identity_keys().ed25519.to_base64()
}

/// Keys are sorted in serde_json's objects, so their text is canonical.
fn signed(object: &Value, by: &UserId, id: &str, with: &Account) -> Value {
    let mut object = object.clone();
    let signatures = object.as_object_mut().and_then(|object| object.remove("signatures"));
    let signature = with.sign(object.to_string().as_bytes()).to_base64();
    let mut signatures = signatures.unwrap_or_else(|| json!({}));
    signatures[by.as_str()][format!("ed25519:{id}")] = signature.into();
    object["signatures"] = signatures;
    object
}

fn raw(object: &Value) -> Box<RawValue> {
    RawValue::from_string(object.to_string()).expect("is JSON")
}

impl Person {
    async fn new(world: &World, name: &str) -> Self {
        let device = world.device(name).await;
        let accounts = [Account::new(), Account::new(), Account::new()];
        let [master, self_signing, user_signing] = accounts;
        let person = Self { device, master, self_signing, user_signing };
        let none = std::iter::empty;
        let (user, id, keys) = (person.user(), &person.device.id, person.device.keys());
        world.e2ee.upload_keys(user, id, Some(&keys), none(), none()).await.expect("taken");
        let by_master = |key: Value| signed(&key, user, &public(&person.master), &person.master);
        let key = |json: Value| Raw::<CrossSigningKey>::from_json(raw(&json));
        let upload = CrossSigningUpload {
            master: Some(key(person.key("master", &person.master))),
            self_signing: Some(key(by_master(person.key("self_signing", &person.self_signing)))),
            user_signing: Some(key(by_master(person.key("user_signing", &person.user_signing)))),
        };
        let upload = world.e2ee.upload_cross_signing(user, &upload);
        world.budget("keys/device_signing/upload", (3, 1), upload).await.expect("taken");
        person
    }

    fn user(&self) -> &UserId {
        &self.device.user
    }

    fn key(&self, usage: &str, account: &Account) -> Value {
        let public = public(account);
        json!({
            "user_id": self.device.user,
            "usage": [usage],
            "keys": { format!("ed25519:{public}"): public },
        })
    }

    /// The person's device, signed by their self-signing key.
    fn signed_device(&self) -> (String, Value) {
        let object: Value = serde_json::from_str(self.device.keys().json().get()).expect("is JSON");
        let by = public(&self.self_signing);
        (self.device.id.to_string(), signed(&object, self.user(), &by, &self.self_signing))
    }
}

type Signed = BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>>;

fn of(objects: impl IntoIterator<Item = (OwnedUserId, (String, Value))>) -> Signed {
    let mut all = Signed::new();
    for (user, (id, object)) in objects {
        all.entry(user).or_default().insert(id, raw(&object));
    }
    all
}

async fn sign(world: &World, by: &Person, signed: &Signed) -> SignatureFailures {
    world.e2ee.upload_signatures(by.user(), signed).await.expect("the store works")
}

/// What somebody sees of another person's master key: who signed it.
async fn signers(world: &World, asking: &Person, whose: &Person) -> Vec<String> {
    let wanted = BTreeMap::from([(whose.device.user.clone(), Vec::new())]);
    let keys = world.e2ee.query_keys(Some(asking.user()), &wanted).await.expect("found");
    let master = keys[whose.user()].master.as_ref().expect("a master key").json().get();
    let master: Value = serde_json::from_str(master).expect("is JSON");
    let signatures = master["signatures"].as_object();
    signatures.into_iter().flatten().map(|(user, _)| user.clone()).collect()
}

#[tokio::test]
async fn a_person_signs_their_device_and_others_see_it() {
    let world = World::new().await;
    let (anna, ben) = (Person::new(&world, "anna").await, Person::new(&world, "ben").await);
    let objects = of([(anna.device.user.clone(), anna.signed_device())]);
    let upload = world.e2ee.upload_signatures(anna.user(), &objects);
    let failures = world.budget("keys/signatures/upload", (2, 1), upload).await;
    assert!(failures.expect("the store works").is_empty());
    let wanted = BTreeMap::from([(anna.device.user.clone(), Vec::new())]);
    let keys = world.e2ee.query_keys(Some(ben.user()), &wanted).await.expect("found");
    let device = keys[anna.user()].devices[&anna.device.id].json().get();
    assert!(device.contains(&public(&anna.self_signing)), "{device}");
}

#[tokio::test]
async fn only_the_signer_sees_a_signature_on_somebody_elses_key() {
    let world = World::new().await;
    let (anna, ben) = (Person::new(&world, "anna").await, Person::new(&world, "ben").await);
    let by = public(&anna.user_signing);
    let key = ben.key("master", &ben.master);
    let key = signed(&key, anna.user(), &by, &anna.user_signing);
    let objects = of([(ben.device.user.clone(), (public(&ben.master), key))]);
    assert!(sign(&world, &anna, &objects).await.is_empty());
    assert!(signers(&world, &anna, &ben).await.contains(&anna.user().to_string()));
    assert!(!signers(&world, &ben, &ben).await.contains(&anna.user().to_string()));
}

#[tokio::test]
async fn several_objects_are_one_batch_and_wrong_ones_do_not_spoil_the_others() {
    let world = World::new().await;
    let (anna, ben) = (Person::new(&world, "anna").await, Person::new(&world, "ben").await);
    let user = anna.device.user.clone();
    // Her device, her master key signed by the device, and a wrong one on Ben's master key.
    let master = anna.key("master", &anna.master);
    let by_device = signed(&master, &user, anna.device.id.as_str(), &anna.device.olm);
    let forged = ben.key("master", &ben.master);
    let forged = signed(&forged, &user, &public(&anna.user_signing), &anna.self_signing);
    let objects = of([
        (user.clone(), anna.signed_device()),
        (user.clone(), (public(&anna.master), by_device)),
        (ben.device.user.clone(), (public(&ben.master), forged)),
        (user.clone(), ("UNKNOWN".to_owned(), json!({ "keys": {} }))),
        (ben.device.user.clone(), ("not an object".to_owned(), json!([]))),
    ]);
    let upload = world.e2ee.upload_signatures(&user, &objects);
    let failures = world.budget("keys/signatures/upload, 5 objects", (2, 1), upload).await;
    let failures = failures.expect("the store works");
    let of_anna: Vec<_> = failures[&user].keys().map(String::as_str).collect();
    assert_eq!(of_anna, ["UNKNOWN"]);
    assert_eq!(failures[ben.user()].len(), 2);
    let forged = &failures[ben.user()][&public(&ben.master)];
    assert!(matches!(forged, E2eeError::InvalidSignature(_)), "{forged}");
    assert!(signers(&world, &ben, &anna).await.contains(&user.to_string()));
    assert!(!signers(&world, &anna, &ben).await.contains(&user.to_string()));
}

#[tokio::test]
async fn what_was_signed_is_what_is_stored() {
    let world = World::new().await;
    let anna = Person::new(&world, "anna").await;
    let (id, mut object) = anna.signed_device();
    object["algorithms"] = json!(["m.weak"]);
    let by = public(&anna.self_signing);
    let object = signed(&object, anna.user(), &by, &anna.self_signing);
    let objects = of([(anna.device.user.clone(), (id, object))]);
    let failures = sign(&world, &anna, &objects).await;
    assert_eq!(failures[anna.user()].len(), 1);
}

/// An object of Anna's signature on Ben's master key.
fn anna_signs_ben(anna: &Person, ben: &Person) -> Signed {
    let key = ben.key("master", &ben.master);
    let key = signed(&key, anna.user(), &public(&anna.user_signing), &anna.user_signing);
    of([(ben.device.user.clone(), (public(&ben.master), key))])
}

#[tokio::test]
async fn the_signer_is_told_to_look_at_the_signed_keys_again_and_nobody_else_is() {
    let world = World::new().await;
    let (anna, ben) = (Person::new(&world, "anna").await, Person::new(&world, "ben").await);
    let since = world.data.position();
    assert!(sign(&world, &anna, &anna_signs_ben(&anna, &ben)).await.is_empty());
    let until = world.data.position();
    // After a restart nothing of it is in memory.
    let restarted = world.restarted().await;
    for e2ee in [&world.e2ee, &restarted] {
        let told = async |user| e2ee.signed_by(user, since, until).await.expect("the store works");
        assert_eq!(told(anna.user()).await, [ben.device.user.clone()].into());
        assert!(told(ben.user()).await.is_empty());
        let changed = e2ee.devices_changed(since, until).await.expect("the store works");
        assert!(changed.is_empty(), "others see nothing of it: {changed:?}");
        let later = e2ee.signed_by(anna.user(), until, until).await.expect("the store works");
        assert!(later.is_empty());
    }
}

#[tokio::test]
async fn the_signer_sees_a_signature_on_the_key_of_somebody_elsewhere() {
    let (world, peer) = crate::peer::world().await;
    let anna = Person::new(&world, "anna").await;
    let ben = OwnedUserId::try_from("@ben:b.example").expect("an id");
    crate::peer::room(&world.data, &[anna.user(), &ben]).await;
    let master = Account::new();
    let id = public(&master);
    let key = json!({
        "user_id": ben, "usage": ["master"], "keys": { format!("ed25519:{id}"): id },
    });
    let answer =
        json!({ "device_keys": { ben.as_str(): {} }, "master_keys": { ben.as_str(): key } });
    peer.answer("/user/keys/query", answer);
    let asked = async || {
        let wanted = BTreeMap::from([(ben.clone(), Vec::new())]);
        let found = world.e2ee.query_remote_keys(anna.user(), &wanted).await.expect("a store");
        let master = found.keys[&ben].master.as_ref().expect("a master key").json().get();
        master.contains(anna.user().as_str())
    };
    assert!(!asked().await);
    let by = public(&anna.user_signing);
    let signed = signed(&key, anna.user(), &by, &anna.user_signing);
    let objects = of([(ben.clone(), (id.clone(), signed))]);
    assert!(sign(&world, &anna, &objects).await.is_empty());
    assert!(asked().await);
}
