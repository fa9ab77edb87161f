//! Round trips, for few people and for many.

use std::collections::BTreeMap;

use blaupause_e2ee::Recipients;
use ruma::{OneTimeKeyId, OwnedOneTimeKeyId, TransactionId, encryption::OneTimeKey, serde::Raw};
use serde_json::value::RawValue;

use crate::people::{Device, World};

type Keys = BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>;

fn keys(count: usize) -> Keys {
    let key = |n: usize| {
        let id = OneTimeKeyId::parse(format!("curve25519:K{n:03}")).expect("an id");
        (id, Raw::from_json_string(format!("\"key {n}\"")).expect("is JSON"))
    };
    (0..count).map(key).collect()
}

async fn upload(world: &World, device: &Device) {
    let (one_time, fallback) = (keys(50), keys(1));
    let one_time = one_time.iter().map(|(id, key)| (&**id, key));
    let fallback = fallback.iter().map(|(id, key)| (&**id, key));
    let device_keys = device.keys();
    let (user, id) = (&device.user, &device.id);
    let done = world.e2ee.upload_keys(user, id, Some(&device_keys), one_time, fallback).await;
    done.expect("taken");
}

#[tokio::test]
async fn an_upload_of_keys_is_a_few_reads_and_one_commit() {
    let world = World::new().await;
    let device = world.device("anna").await;
    world.budget("keys/upload, first", (5, 1), upload(&world, &device)).await;
    world.budget("keys/upload, the same again", (4, 0), upload(&world, &device)).await;
}

#[tokio::test]
async fn queries_and_claims_for_many_people_are_few_reads() {
    let world = World::new().await;
    let mut devices = Vec::new();
    for n in 0..100 {
        let device = world.device(&format!("user{n}")).await;
        upload(&world, &device).await;
        devices.push(device);
    }
    for count in [1, 100] {
        let some = &devices[..count];
        let wanted = some.iter().map(|device| (device.user.clone(), Vec::new())).collect();
        let query = world.e2ee.query_keys(Some(&devices[0].user), &wanted);
        let what = format!("keys/query, {count} users");
        assert_eq!(world.budget(&what, (2, 0), query).await.expect("found").len(), count);
        let claim = |device: &Device| {
            let of_device = BTreeMap::from([(device.id.clone(), "curve25519".to_owned())]);
            (device.user.clone(), of_device)
        };
        let wanted = some.iter().map(claim).collect();
        let claim = world.e2ee.claim_keys(&wanted);
        let what = format!("keys/claim, {count} devices");
        let claimed = world.budget(&what, (1, count as u64), claim).await.expect("claimed");
        assert_eq!(claimed.len(), count);
    }
}

#[tokio::test]
async fn messages_to_many_devices_are_two_reads_and_one_commit() {
    let world = World::new().await;
    let mut devices = Vec::new();
    for n in 0..100 {
        devices.push(world.device(&format!("user{n}")).await);
    }
    let sender = &devices[0];
    for count in [1, 100] {
        let content = || RawValue::from_string("{}".to_owned()).expect("is JSON");
        let to = devices[..count]
            .iter()
            .map(|device| (device.user.clone(), BTreeMap::from([(Recipients::All, content())])));
        let messages = to.collect();
        let txn = TransactionId::new();
        let device = Some(&*sender.id);
        let send = || world.e2ee.send_to_device(&sender.user, device, &txn, "m.test", &messages);
        let what = format!("sendToDevice, {count} devices");
        world.budget(&what, (2, 1), send()).await.expect("sent");
        world.budget(&format!("{what}, repeated"), (1, 0), send()).await.expect("sent");
    }
}

#[tokio::test]
async fn a_backup_of_many_keys_is_a_read_and_a_commit_for_each_batch() {
    use blaupause_e2ee::rows::BackupKeyValue;
    let world = World::new().await;
    let user = ruma::user_id!("@anna:example.org");
    let auth_data = RawValue::from_string("{}".to_owned()).expect("is JSON");
    let create = world.e2ee.create_backup(user, "m.test", &auth_data);
    let version = world.budget("room_keys/version", (1, 1), create).await.expect("made");
    let key = BackupKeyValue {
        is_verified: true,
        first_message_index: 0,
        forwarded_count: 0,
        session_data: "{}".to_owned(),
    };
    let sessions = (0..1_000).map(|n| (format!("s{n}"), key.clone())).collect();
    let keys = BTreeMap::from([(ruma::room_id!("!r:example.org").to_owned(), sessions)]);
    let put = world.e2ee.put_backup_keys(user, &version, &keys);
    let stored = world.budget("room_keys/keys, 1000 keys", (6, 3), put).await.expect("stored");
    assert_eq!(stored.count, 1_000);
    let get = world.e2ee.backup_keys(user, &version, None, None);
    let got = world.budget("room_keys/keys, read", (2, 0), get).await.expect("read");
    assert_eq!(got.values().map(BTreeMap::len).sum::<usize>(), 1_000);
    let delete = world.e2ee.delete_backup_keys(user, &version, None, None);
    let left = world.budget("room_keys/keys, deleted", (6, 3), delete).await.expect("deleted");
    assert_eq!(left.count, 0);
}
