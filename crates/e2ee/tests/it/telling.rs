//! What other servers are told of devices.

use blaupause_e2ee::E2ee;
use ruma::{OwnedUserId, server_name};
use serde_json::{Value, json};

use crate::peer::{room, room_with, world};

#[tokio::test]
async fn other_servers_hear_of_each_change_of_devices_once_and_in_order() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await;
    let ben: OwnedUserId = "@ben:b.example".try_into().expect("an id");
    let upload = async || {
        let keys = anna.keys();
        let none = || std::iter::empty();
        world.e2ee.upload_keys(&anna.user, &anna.id, Some(&keys), none(), none()).await
    };
    upload().await.expect("good keys");
    world.e2ee.follow_remote().await.expect("a store");
    assert!(peer.edus().is_empty(), "nobody to tell");
    room(&world.data, &[&anna.user, &ben]).await;
    world.e2ee.follow_remote().await.expect("a store");
    // Coming to the room tells what there is; the last change is told again to the newcomers.
    let edus = peer.edus_of(2).await;
    assert_eq!(edus[0]["edu_type"], "m.device_list_update");
    assert_eq!(
        (&edus[0]["content"]["stream_id"], &edus[0]["content"]["prev_id"]),
        (&json!(1), &json!([0]))
    );
    assert_eq!(edus[1]["content"]["stream_id"], 1);
    let list = world.e2ee.devices_for_others(&anna.user).await.expect("a store").expect("ours");
    assert_eq!((list.stream_id, list.devices.len()), (1, 1));
    world.e2ee.touch_devices(&anna.user).await.expect("a store");
    world.e2ee.follow_remote().await.expect("a store");
    world.e2ee.remove_devices(&anna.user, [&*anna.id]).await.expect("a store");
    let gone = [anna.id.clone()];
    world.accounts.delete_devices(&anna.user, &gone).await.expect("a store");
    world.e2ee.follow_remote().await.expect("a store");
    let edus = peer.edus_of(3).await;
    assert_eq!(edus.len(), 3, "a change that others do not see is not told");
    let gone = &edus[2]["content"];
    assert_eq!(
        (&gone["deleted"], &gone["stream_id"], &gone["prev_id"]),
        (&json!(true), &json!(2), &json!([1]))
    );
}

#[tokio::test]
async fn who_comes_to_a_room_tells_its_servers_of_a_device_without_keys() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await;
    let ben: OwnedUserId = "@ben:b.example".try_into().expect("an id");
    room(&world.data, &[&anna.user, &ben]).await;
    world.e2ee.follow_remote().await.expect("a store");
    let edus = peer.edus_of(1).await;
    assert_eq!(edus[0]["edu_type"], "m.device_list_update");
    let told = &edus[0]["content"];
    assert_eq!((&told["device_id"], &told["keys"]), (&json!(anna.id), &Value::Null));
    let list = world.e2ee.devices_for_others(&anna.user).await.expect("a store").expect("ours");
    assert!(list.devices.is_empty(), "there are no keys to hand out");
}

#[tokio::test]
async fn a_server_of_which_nobody_is_known_hears_of_devices_that_have_something_to_tell() {
    let (world, peer) = world().await;
    let anna = world.device("anna").await;
    let b = server_name!("b.example");
    room_with(&world.data, &[&anna.user], &[b]).await;
    world.e2ee.follow_remote().await.expect("a store");
    assert!(peer.edus().is_empty(), "there is nothing to encrypt for and nothing to show");
    let keys = anna.keys();
    let none = || std::iter::empty();
    let upload = world.e2ee.upload_keys(&anna.user, &anna.id, Some(&keys), none(), none());
    upload.await.expect("good keys");
    world.e2ee.follow_remote().await.expect("a store");
    let edus = peer.edus_of(1).await;
    assert_eq!(edus[0]["content"]["device_id"], json!(anna.id));
    let told = edus.len();
    let ellen = world.device("ellen").await;
    let keys = ellen.keys();
    let upload = world.e2ee.upload_keys(&ellen.user, &ellen.id, Some(&keys), none(), none());
    upload.await.expect("good keys");
    room_with(&world.data, &[&ellen.user], &[b]).await;
    world.e2ee.follow_remote().await.expect("a store");
    assert_eq!(peer.edus_of(told + 1).await[told]["content"]["device_id"], json!(ellen.id));
}

#[tokio::test]
async fn names_of_devices_are_told_only_where_the_operator_says_so() {
    for named in [false, true] {
        let (mut world, peer) = world().await;
        let anna = world.device("anna").await;
        let (accounts, federation) = (world.accounts.clone(), world.e2ee.federation().clone());
        let settings = blaupause_e2ee::Settings { device_names: named };
        world.e2ee = E2ee::with(world.data.clone(), accounts, federation, settings);
        let ben: OwnedUserId = "@ben:b.example".try_into().expect("an id");
        room(&world.data, &[&anna.user, &ben]).await;
        let keys = anna.keys();
        let none = || std::iter::empty();
        let upload = world.e2ee.upload_keys(&anna.user, &anna.id, Some(&keys), none(), none());
        upload.await.expect("good keys");
        world.e2ee.follow_remote().await.expect("a store");
        let before = peer.edus_of(2).await.len();
        let name = Some("Anna's phone");
        world.accounts.rename_device(&anna.user, &anna.id, name).await.expect("a store");
        world.e2ee.touch_devices(&anna.user).await.expect("a store");
        world.e2ee.follow_remote().await.expect("a store");
        let edus = peer.edus_of(before + usize::from(named)).await;
        assert_eq!(edus.len() - before, usize::from(named), "a change nobody sees is not told");
        let text = serde_json::to_string(&edus).expect("JSON");
        assert_eq!(text.contains("Anna's phone"), named);
        let list = world.e2ee.devices_for_others(&anna.user).await.expect("a store");
        let told = list.expect("ours").devices[&anna.id].json().get().contains("Anna's phone");
        assert_eq!(told, named);
    }
}
