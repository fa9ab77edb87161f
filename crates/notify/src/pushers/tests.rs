use blaupause_accounts::{Accounts, Registration, RegistrationMode, Secret, Settings, SignIn};
use blaupause_data::{Data, Db, Env, Part, Table};
use blaupause_rooms::Rooms;
use blaupause_store::{MemStore, Store};
use ruma::{OwnedUserId, server_name, user_id};
use serde_json::json;

use super::*;

/// A server with one user of one device.
async fn world() -> (Notify, Accounts, OwnedUserId, OwnedDeviceId) {
    let db = Db::Mem(MemStore::new());
    let data = Data::open(db, server_name!("example.org"), Env::manual(0)).await.expect("empty");
    let settings = Settings {
        registration: RegistrationMode::Open,
        argon2: blaupause_accounts::Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 },
        ..Settings::default()
    };
    let accounts = Accounts::new(data.clone(), settings);
    let wanted = Registration {
        username: Some("alice".to_owned()),
        password: Some(Secret::new("correct horse".to_owned())),
        sign_in: Some(SignIn::default()),
        ..Registration::default()
    };
    let made = accounts.register(wanted).await.expect("an account");
    let device = made.issued.expect("a session").device_id;
    let federation = blaupause_federation::Federation::off(data.clone());
    let rooms = Rooms::new(data.clone(), accounts.clone(), federation, Default::default());
    (Notify::new(data, accounts.clone(), rooms), accounts, made.user_id, device)
}

fn pusher(key: &str) -> Pusher {
    let pusher = json!({
        "app_id": "org.example", "pushkey": key, "kind": "http", "lang": "en",
        "app_display_name": "a", "device_display_name": "d",
        "data": { "url": "https://push.example.org/_matrix/push/v1/notify" },
    });
    serde_json::from_value(pusher).expect("a pusher")
}

fn set(pusher: &Pusher) -> SetPusher<'_> {
    SetPusher { pusher, append: false, enabled: None }
}

async fn keys(notify: &Notify, user: &UserId) -> Vec<String> {
    let pushers = notify.pushers(user).await.expect("they can be read");
    pushers.into_iter().map(|own| own.pusher.ids.pushkey).collect()
}

/// What is stored must be readable for ever: a change of these bytes needs a new format number.
#[tokio::test]
async fn a_stored_pusher_keeps_its_bytes() {
    let store = MemStore::new();
    let name = server_name!("example.org");
    let data = Data::open(Db::Mem(store.clone()), name, Env::manual(0)).await.expect("empty");
    let part = Part(u64::MAX);
    let stored =
        StoredPusher { device: Some("D".into()), json: "{}".to_owned(), enabled: true, set_ms: 3 };
    let mut write = Write::new(part);
    write.put::<PusherRow>(part, &("a".to_owned(), "k".to_owned()), &stored);
    data.commit(write).await.expect("memory writes");
    let (rows, _) = store.export(Table::Usr, None, 1_000).await.expect("memory reads");
    let found: Vec<_> = rows.iter().filter(|(key, _)| key.part() == Some(part)).collect();
    let [(key, value)] = found[..] else { panic!("one row: {found:?}") };
    assert_eq!(key.as_bytes()[8..], *b"Pa\0\x01k\0\x01");
    assert_eq!(value[..], *b"\x01\x01\x01D\x02{}\x01\x03");
}

#[tokio::test]
async fn pushers_end_with_their_device() {
    let (notify, _, user, device) = world().await;
    notify.set_pusher(&user, Some(&device), set(&pusher("a"))).await.expect("set");
    notify.set_pusher(&user, None, set(&pusher("b"))).await.expect("set");
    let other: OwnedDeviceId = "OTHER".into();
    notify.delete_pushers_of(&user, &[other]).await.expect("deleted");
    assert_eq!(keys(&notify, &user).await, ["a", "b"]);
    notify.delete_pushers_of(&user, &[device]).await.expect("deleted");
    assert_eq!(keys(&notify, &user).await, ["b"]);
    notify.remove_user(&user).await.expect("deleted");
    assert!(keys(&notify, &user).await.is_empty());
}

#[tokio::test]
async fn a_pusher_whose_device_is_gone_is_none() {
    let (notify, accounts, user, device) = world().await;
    notify.set_pusher(&user, Some(&device), set(&pusher("a"))).await.expect("set");
    assert_eq!(keys(&notify, &user).await, ["a"]);
    // As if the server had been killed in between, or the pusher been set meanwhile.
    accounts.delete_devices(&user, &[device]).await.expect("deleted");
    assert!(keys(&notify, &user).await.is_empty());
}

#[tokio::test]
async fn a_pusher_can_be_replaced_when_there_are_as_many_as_may_be() {
    let (notify, _, user, device) = world().await;
    for number in 0..PUSHERS_MAX {
        let pusher = pusher(&number.to_string());
        notify.set_pusher(&user, Some(&device), set(&pusher)).await.expect("there is room");
    }
    notify.set_pusher(&user, Some(&device), set(&pusher("0"))).await.expect("it is replaced");
    let one_more = notify.set_pusher(&user, Some(&device), set(&pusher("one more"))).await;
    assert!(matches!(one_more, Err(NotifyError::TooLarge(_))));
    assert!(keys(&notify, user_id!("@bob:example.org")).await.is_empty());
}

#[tokio::test]
async fn one_device_switches_anothers_pusher_off_and_it_stays_with_its_device() {
    let (notify, _, user, device) = world().await;
    notify.set_pusher(&user, Some(&device), set(&pusher("a"))).await.expect("set");
    let (other, off): (OwnedDeviceId, _) = ("OTHER".into(), Some(false));
    let pusher = pusher("a");
    let wanted = SetPusher { pusher: &pusher, append: false, enabled: off };
    notify.set_pusher(&user, Some(&other), wanted).await.expect("set");
    let own = notify.pushers(&user).await.expect("read").pop().expect("it is there");
    assert_eq!((own.device, own.enabled), (Some(device), false));
}

#[tokio::test]
async fn a_push_key_belongs_to_who_signed_in_last_unless_it_is_appended() {
    let (notify, _, alice, device) = world().await;
    let (bob, pusher) = (user_id!("@bob:example.org"), pusher("a"));
    let append = |append| SetPusher { pusher: &pusher, append, enabled: None };
    notify.set_pusher(&alice, Some(&device), append(false)).await.expect("set");
    notify.set_pusher(bob, None, append(true)).await.expect("set");
    assert_eq!(keys(&notify, &alice).await, ["a"]);
    notify.set_pusher(bob, None, append(false)).await.expect("set");
    assert!(keys(&notify, &alice).await.is_empty());
    assert_eq!(keys(&notify, bob).await, ["a"]);
}
