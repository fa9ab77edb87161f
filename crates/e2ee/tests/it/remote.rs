//! Keys and messages across servers.

use std::collections::BTreeMap;

use blaupause_data::StreamPos;
use blaupause_e2ee::Recipients;
use ruma::{
    OwnedUserId, UserId,
    api::federation::transactions::edu::{DeviceListUpdateContent, DirectDeviceContent, Edu},
    server_name,
};
use serde_json::{Value, json, value::RawValue};

use crate::{
    peer::{Stranger, changed, room, world},
    people::World,
};

const END: StreamPos = StreamPos(u64::MAX - 1);
const QUERY: &str = "/user/keys/query";
const DEVICES: &str = "/user/devices/";
const CLAIM: &str = "/user/keys/claim";

/// Ids of the devices that somebody is told of, and the servers that failed.
async fn query(world: &World, asking: &UserId, user: &UserId) -> (Vec<String>, Vec<String>) {
    let wanted = BTreeMap::from([(user.to_owned(), Vec::new())]);
    let found = world.e2ee.query_remote_keys(asking, &wanted).await.expect("a store");
    let devices = found.keys.get(user).into_iter().flat_map(|keys| keys.devices.keys());
    let devices = devices.map(ToString::to_string).collect();
    (devices, found.failures.keys().map(ToString::to_string).collect())
}

fn keys_answer(devices: &[&Stranger]) -> Value {
    let mut users = json!({});
    for device in devices {
        users[device.user.as_str()][device.device.as_str()] = json!(device.keys());
    }
    json!({ "device_keys": users })
}

fn devices_answer(user: &UserId, stream_id: u64, devices: &[&Stranger]) -> Value {
    let devices: Vec<_> =
        devices.iter().map(|it| json!({ "device_id": it.device, "keys": it.keys() })).collect();
    json!({ "user_id": user, "stream_id": stream_id, "devices": devices })
}

fn update(device: &Stranger, stream_id: u64, prev: &[u64]) -> DeviceListUpdateContent {
    serde_json::from_value(json!({
        "user_id": device.user,
        "device_id": device.device,
        "stream_id": stream_id,
        "prev_id": prev,
        "keys": device.keys(),
    }))
    .expect("an update")
}

#[tokio::test]
async fn keys_of_somebody_in_a_shared_room_are_asked_for_once() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await.user;
    let ben = Stranger::new("@ben:b.example", "BEN1");
    room(&world.data, &[&anna, &ben.user]).await;
    peer.answer(QUERY, keys_answer(&[&ben]));
    for _ in 0..3 {
        assert_eq!(query(&world, &anna, &ben.user).await, (vec!["BEN1".into()], vec![]));
    }
    assert_eq!(peer.count(QUERY), 1);
}

#[tokio::test]
async fn of_somebody_elsewhere_nothing_is_kept() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await.user;
    let ben = Stranger::new("@ben:b.example", "BEN1");
    peer.answer(QUERY, keys_answer(&[&ben]));
    for _ in 0..2 {
        assert_eq!(query(&world, &anna, &ben.user).await.0, ["BEN1"]);
    }
    assert_eq!(peer.count(QUERY), 2, "nobody would tell us of changes");
}

#[tokio::test]
async fn wrong_keys_are_left_out() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await.user;
    let ben = Stranger::new("@ben:b.example", "GOOD");
    let other = Stranger::new("@ben:b.example", "OTHER");
    let cleo = Stranger::new("@cleo:c.example", "CLEO");
    let mut answer = keys_answer(&[&ben, &cleo]);
    let devices = &mut answer["device_keys"]["@ben:b.example"];
    // Under the name of another device, and with a broken signature.
    devices["FALSE"] = json!(other.keys());
    let mut broken = json!(other.keys());
    broken["algorithms"] = json!(["m.olm.v1.curve25519-aes-sha2"]);
    devices["OTHER"] = broken;
    devices["NONSENSE"] = json!(5);
    answer["master_keys"] = json!({ "@ben:b.example": { "user_id": "@cleo:c.example" } });
    answer["self_signing_keys"] = json!({ "@ben:b.example": {
        "user_id": "@ben:b.example", "usage": ["self_signing"],
        "keys": { "ed25519:x": "x" }, "signatures": {}
    } });
    peer.answer(QUERY, answer);
    let wanted = BTreeMap::from([(ben.user.clone(), Vec::new())]);
    let found = world.e2ee.query_remote_keys(&anna, &wanted).await.expect("a store").keys;
    assert_eq!(found.keys().collect::<Vec<_>>(), [&ben.user], "a server speaks for its own");
    let keys = &found[&ben.user];
    assert_eq!(keys.devices.keys().map(|id| id.as_str()).collect::<Vec<_>>(), ["GOOD"]);
    assert!(keys.master.is_none() && keys.self_signing.is_none());
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_failure_and_the_others_answer() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await.user;
    let ben = Stranger::new("@ben:b.example", "BEN1");
    assert_eq!(query(&world, &anna, &ben.user).await, (vec![], vec!["b.example".into()]));
    room(&world.data, &[&anna, &ben.user]).await;
    peer.answer(QUERY, keys_answer(&[&ben]));
    query(&world, &anna, &ben.user).await;
    // Something is missing, and the server is away: what was known is better than nothing.
    peer.is_away();
    let lost = update(&ben, 9, &[8]);
    world
        .e2ee
        .hear_device_list_update(server_name!("b.example"), &lost, false)
        .await
        .expect("a store");
    let (devices, failures) = query(&world, &anna, &ben.user).await;
    assert_eq!((devices, failures), (vec!["BEN1".into()], vec!["b.example".into()]));
}

#[tokio::test]
async fn a_change_that_follows_is_taken_in_without_asking() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await.user;
    let (one, two) =
        (Stranger::new("@ben:b.example", "BEN1"), Stranger::new("@ben:b.example", "BEN2"));
    room(&world.data, &[&anna, &one.user]).await;
    peer.answer(QUERY, keys_answer(&[&one]));
    peer.answer(DEVICES, devices_answer(&one.user, 5, &[&one]));
    query(&world, &anna, &one.user).await;
    world.e2ee.resync(&one.user).await.expect("it answers");
    let (before, asked) = (world.data.position(), peer.count("/user/"));
    let b = server_name!("b.example");
    world.e2ee.hear_device_list_update(b, &update(&two, 6, &[5]), false).await.expect("a store");
    assert_eq!(changed(&world, before).await, ["@ben:b.example"]);
    assert_eq!(query(&world, &anna, &one.user).await.0, ["BEN1", "BEN2"]);
    let mut gone = update(&one, 7, &[6]);
    (gone.deleted, gone.keys) = (Some(true), None);
    world.e2ee.hear_device_list_update(b, &gone, false).await.expect("a store");
    assert_eq!(query(&world, &anna, &one.user).await.0, ["BEN2"]);
    let before = world.data.position();
    world.e2ee.hear_device_list_update(b, &gone, false).await.expect("a store");
    assert_eq!(changed(&world, before).await, Vec::<String>::new(), "it was contained");
    assert_eq!(peer.count("/user/"), asked);
}

#[tokio::test]
async fn after_a_missing_change_the_whole_list_is_asked_for() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await.user;
    let (one, two) =
        (Stranger::new("@ben:b.example", "BEN1"), Stranger::new("@ben:b.example", "BEN2"));
    room(&world.data, &[&anna, &one.user]).await;
    peer.answer(DEVICES, devices_answer(&one.user, 5, &[&one]));
    world.e2ee.resync(&one.user).await.expect("it answers");
    peer.answer(DEVICES, devices_answer(&one.user, 9, &[&one, &two]));
    let before = world.data.position();
    let b = server_name!("b.example");
    world.e2ee.hear_device_list_update(b, &update(&two, 9, &[8]), false).await.expect("a store");
    assert_eq!(changed(&world, before).await, ["@ben:b.example"]);
    for _ in 0..10_000 {
        if peer.count(DEVICES) == 2 {
            break;
        }
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(query(&world, &anna, &one.user).await.0, ["BEN1", "BEN2"]);
    assert_eq!((peer.count(DEVICES), peer.count(QUERY)), (2, 0));
}

#[tokio::test]
async fn a_server_speaks_only_for_its_own_users() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await;
    let ben = Stranger::new("@ben:b.example", "BEN1");
    room(&world.data, &[&anna.user, &ben.user]).await;
    peer.answer(DEVICES, devices_answer(&ben.user, 5, &[&ben]));
    world.e2ee.resync(&ben.user).await.expect("it answers");
    let before = world.data.position();
    let c = server_name!("c.example");
    let e2ee = &world.e2ee;
    e2ee.hear_device_list_update(c, &update(&ben, 6, &[5]), false).await.expect("a store");
    let keys = serde_json::from_value(json!({ "user_id": ben.user })).expect("an update");
    e2ee.hear_signing_key_update(c, &keys).await.expect("a store");
    e2ee.hear_to_device(c, &brought(&ben.user, "m1", &anna.user, "*")).await.expect("a store");
    assert_eq!(changed(&world, before).await, Vec::<String>::new());
    let page = e2ee.to_device(&anna.user, &anna.id, StreamPos(0), END).await.expect("a store");
    assert!(page.messages.is_empty());
    assert_eq!(world.data.position(), before, "nothing was written");
}

#[tokio::test]
async fn what_is_kept_of_third_servers_is_not_handed_out() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await.user;
    let ben = Stranger::new("@ben:b.example", "BEN1");
    room(&world.data, &[&anna, &ben.user]).await;
    peer.answer(QUERY, keys_answer(&[&ben]));
    query(&world, &anna, &ben.user).await;
    let wanted = BTreeMap::from([(ben.user.clone(), Vec::new())]);
    assert!(world.e2ee.keys_for_others(&wanted).await.expect("a store").is_empty());
    assert!(world.e2ee.devices_for_others(&ben.user).await.expect("a store").is_none());
}

fn brought(sender: &UserId, id: &str, to: &UserId, device: &str) -> DirectDeviceContent {
    serde_json::from_value(json!({
        "sender": sender,
        "type": "m.test",
        "message_id": id,
        "messages": { to.as_str(): { device: { "n": 1 } } },
    }))
    .expect("messages")
}

#[tokio::test]
async fn a_message_from_elsewhere_is_delivered_once_and_only_to_whom_there_is() {
    let (world, _) = world().await;
    let anna = world.device("anna").await;
    let ben: OwnedUserId = "@ben:b.example".try_into().expect("an id");
    let nobody: OwnedUserId = "@nobody:example.org".try_into().expect("an id");
    let cleo: OwnedUserId = "@cleo:c.example".try_into().expect("an id");
    let b = server_name!("b.example");
    for _ in 0..3 {
        let message = brought(&ben, "m1", &anna.user, anna.id.as_str());
        world.e2ee.hear_to_device(b, &message).await.expect("a store");
    }
    for user in [&nobody, &cleo] {
        world.e2ee.hear_to_device(b, &brought(&ben, "m2", user, "*")).await.expect("a store");
        let page = world.e2ee.to_device(user, "X".into(), StreamPos(0), END).await;
        assert!(page.expect("a store").messages.is_empty());
    }
    let page = world.e2ee.to_device(&anna.user, &anna.id, StreamPos(0), END).await;
    assert_eq!(page.expect("a store").messages.len(), 1);
}

#[tokio::test]
async fn messages_for_others_are_owed_to_their_server_once() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await;
    let ben: OwnedUserId = "@ben:b.example".try_into().expect("an id");
    let content = RawValue::from_string("{\"n\":1}".into()).expect("is JSON");
    let to = BTreeMap::from([
        (Recipients::All, content.clone()),
        (Recipients::Device("BEN1".into()), content),
    ]);
    let messages = BTreeMap::from([(ben.clone(), to)]);
    for _ in 0..3 {
        let sent =
            world.e2ee.send_to_device(&anna.user, Some(&anna.id), "t".into(), "m.test", &messages);
        sent.await.expect("a store");
    }
    let edus = peer.edus_of(1).await;
    assert_eq!(edus.len(), 1);
    let edu: Edu = serde_json::from_value(edus[0].clone()).expect("an EDU");
    let Edu::DirectToDevice(sent) = edu else { panic!("not a message") };
    assert_eq!((sent.sender, sent.messages[&ben].len()), (anna.user, 2));
}

#[tokio::test]
async fn a_change_without_keys_counts_only_where_not_everybody_is_known() {
    let (world, _peer) = world().await;
    let update = json!({ "user_id": "@ben:b.example", "device_id": "B", "stream_id": 1 });
    let update = serde_json::from_value(update).expect("an update");
    for (is_unsure, told) in [(false, &[][..]), (true, &["@ben:b.example"])] {
        let before = world.data.position();
        let heard =
            world.e2ee.hear_device_list_update(server_name!("b.example"), &update, is_unsure);
        heard.await.expect("a store");
        assert_eq!(changed(&world, before).await, told);
    }
}

#[tokio::test]
async fn a_change_of_somebody_of_whom_nothing_is_kept_is_told_and_not_kept() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await.user;
    let ben = Stranger::new("@ben:b.example", "BEN1");
    room(&world.data, &[&anna, &ben.user]).await;
    let before = world.data.position();
    let b = server_name!("b.example");
    world.e2ee.hear_device_list_update(b, &update(&ben, 6, &[5]), false).await.expect("a store");
    assert_eq!(changed(&world, before).await, ["@ben:b.example"]);
    assert_eq!(peer.count("/user/"), 0, "nobody needs the list yet");
}

#[tokio::test]
async fn a_one_time_key_that_its_device_did_not_sign_is_left_out() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await.user;
    let mut ben = Stranger::new("@ben:b.example", "BEN1");
    let mut evil = Stranger::new("@ben:b.example", "BEN1");
    room(&world.data, &[&anna, &ben.user]).await;
    peer.answer(QUERY, keys_answer(&[&ben]));
    query(&world, &anna, &ben.user).await;
    let wanted = BTreeMap::from([(
        ben.user.clone(),
        BTreeMap::from([("BEN1".into(), "signed_curve25519".to_owned())]),
    )]);
    let answer = |key: Value, id: &str, device: &str| json!({ "one_time_keys": { "@ben:b.example": { device: { id: key } } } });
    for (key, id, device, is_good) in [
        (ben.one_time_key(), "signed_curve25519:A", "BEN1", true),
        (evil.one_time_key(), "signed_curve25519:A", "BEN1", false),
        (ben.one_time_key(), "curve25519:A", "BEN1", false),
        (ben.one_time_key(), "signed_curve25519:A", "BEN2", false),
        (json!(7), "signed_curve25519:A", "BEN1", false),
    ] {
        peer.answer(CLAIM, answer(key, id, device));
        let (keys, failures) = world.e2ee.claim_remote_keys(&wanted).await.expect("a store");
        assert_eq!((keys.len(), failures.len()), (usize::from(is_good), 0), "{id} {device}");
    }
    peer.is_away();
    let (keys, failures) = world.e2ee.claim_remote_keys(&wanted).await.expect("a store");
    assert_eq!((keys.len(), failures.len()), (0, 1));
}
