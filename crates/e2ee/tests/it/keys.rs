use std::collections::{BTreeMap, BTreeSet};

use blaupause_e2ee::E2eeError;
use ruma::{OneTimeKeyId, OwnedOneTimeKeyId, encryption::OneTimeKey, serde::Raw};
use serde_json::{Value, json};

use crate::people::{Device, World};

type Keys = BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>;

/// Plain (unsigned) keys: the server looks at names and shapes only.
fn keys(names: impl IntoIterator<Item = String>) -> Keys {
    let key = |name: String| {
        let id = OneTimeKeyId::parse(format!("curve25519:{name}")).expect("an id");
        (id, Raw::from_json_string(format!("\"key {name}\"")).expect("is JSON"))
    };
    names.into_iter().map(key).collect()
}

async fn upload(
    world: &World,
    device: &Device,
    one_time: &Keys,
    fallback: &Keys,
) -> Result<u64, E2eeError> {
    let one_time = one_time.iter().map(|(id, key)| (&**id, key));
    let fallback = fallback.iter().map(|(id, key)| (&**id, key));
    let (user, id) = (&device.user, &device.id);
    let counts = world.e2ee.upload_keys(user, id, None, one_time, fallback).await?;
    Ok(counts.one_time.get("curve25519").copied().unwrap_or(0))
}

#[tokio::test]
async fn a_one_time_key_is_handed_out_once_however_many_ask_at_once() {
    let world = World::new().await;
    let device = world.device("anna").await;
    let stock = keys((0..20).map(|n| format!("K{n:02}")));
    assert_eq!(upload(&world, &device, &stock, &Keys::new()).await.expect("taken"), 20);
    let claims = (0..50).map(|_| world.e2ee.claim_key(&device.user, &device.id, "curve25519"));
    let claimed = futures_util::future::join_all(claims).await;
    let ids: Vec<String> =
        claimed.into_iter().filter_map(|claim| Some(claim.expect("the store works")?.0)).collect();
    assert_eq!(ids.len(), 20);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 20);
}

#[tokio::test]
async fn keys_are_claimed_in_the_order_of_their_upload_and_then_the_fallback_key() {
    let world = World::new().await;
    let device = world.device("anna").await;
    let fallback = keys(["F".to_owned()]);
    upload(&world, &device, &keys(["Z".to_owned()]), &fallback).await.expect("taken");
    upload(&world, &device, &keys(["A".to_owned()]), &Keys::new()).await.expect("taken");
    let mut claimed = Vec::new();
    for _ in 0..4 {
        let claim = world.e2ee.claim_key(&device.user, &device.id, "curve25519").await;
        claimed.extend(claim.expect("the store works").map(|(id, _)| id));
    }
    assert_eq!(claimed, ["curve25519:Z", "curve25519:A", "curve25519:F", "curve25519:F"]);
    let counts = world.e2ee.key_counts(&device.user, &device.id).await.expect("counted");
    assert!(counts.one_time.is_empty() && counts.unused_fallback.is_empty());
}

#[tokio::test]
async fn a_key_id_stands_for_one_key() {
    let world = World::new().await;
    let device = world.device("anna").await;
    let stock = keys(["A".to_owned()]);
    assert_eq!(upload(&world, &device, &stock, &Keys::new()).await.expect("taken"), 1);
    assert_eq!(upload(&world, &device, &stock, &Keys::new()).await.expect("the same"), 1);
    let mut other = stock;
    for key in other.values_mut() {
        *key = Raw::from_json_string("\"another\"".to_owned()).expect("is JSON");
    }
    let refused = upload(&world, &device, &other, &Keys::new()).await;
    assert!(matches!(refused, Err(E2eeError::InvalidKeys(_))));
}

#[tokio::test]
async fn a_device_cannot_hoard_one_time_keys() {
    let world = World::new().await;
    let device = world.device("anna").await;
    let many = keys((0..501).map(|n| format!("K{n}")));
    let refused = upload(&world, &device, &many, &Keys::new()).await;
    assert!(matches!(refused, Err(E2eeError::TooLarge(_))));
}

#[tokio::test]
async fn a_wrong_signature_of_device_keys_is_refused_and_new_keys_replace_old_ones() {
    let world = World::new().await;
    let mut device = world.device("anna").await;
    let none = || std::iter::empty::<(&OneTimeKeyId, &Raw<OneTimeKey>)>();
    let keys = device.keys();
    let (user, id) = (device.user.clone(), device.id.clone());
    let upload =
        async |keys: &Raw<_>| world.e2ee.upload_keys(&user, &id, Some(keys), none(), none()).await;
    let forged = keys.json().get().replace("megolm.v1", "megolm.v9");
    let forged = Raw::from_json_string(forged).expect("is JSON");
    assert!(matches!(upload(&forged).await, Err(E2eeError::InvalidSignature(_))));
    upload(&keys).await.expect("signed");
    upload(&keys).await.expect("the same again");
    device.olm = vodozemac::olm::Account::new();
    upload(&device.keys()).await.expect("a client that lost its keys");
    let unsigned = |keys: &Value| Raw::from_json_string(keys.to_string()).expect("is JSON");
    let mut keys: Value = serde_json::from_str(device.keys().json().get()).expect("is JSON");
    keys["signatures"] = json!({});
    upload(&unsigned(&keys)).await.expect("clients look for the signature");
    keys["keys"][format!("ed25519:{id}")] = json!("short");
    assert!(matches!(upload(&unsigned(&keys)).await, Err(E2eeError::InvalidKeys(_))));
}
