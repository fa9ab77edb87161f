use std::time::Duration;

use blaupause_data::{Change, Passing};
use ruma::{
    api::client::filter::FilterDefinition, presence::PresenceState, profile::ProfileFieldName,
};
use serde_json::json;

use super::{PASSWORD, World, cheap, secret};
use crate::{AccountsError, Settings, SignIn};

#[tokio::test]
async fn a_deactivated_account_has_nothing_left_and_lets_nobody_in() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let start = world.data.position();
    let issued = world.sign_in(&user, &SignIn { refresh: true, ..SignIn::default() }).await;
    let login = world.accounts.login_token(&user, None).await.expect("memory writes");
    let openid = world.accounts.openid_token(&user).await.expect("memory writes");
    world.accounts.authenticate(issued.access_token.reveal()).await.expect("known");
    let content = serde_json::value::to_raw_value(&json!({"x": 1})).expect("JSON");
    world.accounts.set_account_data(&user, None, "org.x", &content).await.expect("an object");
    world.accounts.deactivate(&user, true).await.expect("memory writes");

    let accounts = &world.accounts;
    assert!(accounts.authenticate(issued.access_token.reveal()).await.is_err());
    let refresh = issued.refresh_token.expect("it was wanted");
    assert!(accounts.refresh(refresh.reveal()).await.is_err());
    let how = SignIn::default();
    assert!(accounts.sign_in_with_token(login.token.reveal(), &how).await.is_err());
    assert_eq!(accounts.openid_user(openid.token.reveal()).await.expect("memory reads"), None);
    let password = accounts.sign_in_with_password("alice", &secret(PASSWORD), &how).await;
    assert!(matches!(password, Err(AccountsError::Deactivated)));
    assert!(accounts.authenticate("").await.is_err());
    assert!(accounts.check_password(&user, &secret(PASSWORD)).await.is_err());
    assert!(accounts.devices(&user).await.expect("memory reads").is_empty());
    assert!(accounts.profile(&user).await.expect("memory reads").is_none());
    assert!(accounts.account_data(&user, None, "org.x").await.expect("memory reads").is_none());
    let name = ProfileFieldName::DisplayName;
    assert!(accounts.set_profile_field(&user, &name, &json!("x")).await.is_err());
    accounts.deactivate(&user, false).await.expect("twice is no error");
    let changes = world.data.feed().between(start, world.data.position()).unwrap_or_default();
    let changes: Vec<_> = changes.into_iter().flat_map(|(_, changes)| changes.to_vec()).collect();
    assert!(changes.contains(&Change::Deactivated { user }));
}

#[tokio::test]
async fn a_new_password_is_the_only_one() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let accounts = &world.accounts;
    accounts.set_password(&user, secret("another horse")).await.expect("it is good");
    assert!(accounts.check_password(&user, &secret(PASSWORD)).await.is_err());
    accounts.check_password(&user, &secret("another horse")).await.expect("it is right");
    assert!(accounts.set_password(&user, secret("x")).await.is_err());
}

#[tokio::test]
async fn profile_fields_are_set_read_and_removed() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let accounts = &world.accounts;
    let set = |name: &str, value| {
        let name = ProfileFieldName::from(name);
        let user = user.clone();
        async move { accounts.set_profile_field(&user, &name, &value).await }
    };
    set("displayname", json!("Alice")).await.expect("possible");
    set("avatar_url", json!("mxc://a.example/x")).await.expect("possible");
    set("m.tz", json!("Europe/Berlin")).await.expect("possible");
    set("org.example.x", json!({"any": ["thing", null]})).await.expect("possible");
    let profile = accounts.profile(&user).await.expect("memory reads").expect("it exists");
    let all = serde_json::to_value(profile.to_ruma()).expect("plain data");
    let wanted = json!({
        "displayname": "Alice",
        "avatar_url": "mxc://a.example/x",
        "m.tz": "Europe/Berlin",
        "org.example.x": {"any": ["thing", null]},
    });
    assert_eq!(all, wanted);
    for name in ["displayname", "m.tz", "org.example.never"] {
        accounts.delete_profile_field(&user, &name.into()).await.expect("possible");
    }
    let profile = accounts.profile(&user).await.expect("memory reads").expect("it exists");
    assert_eq!(profile.display_name(), None);
    assert_eq!(profile.field(&"m.tz".into()), None);

    for (name, value) in [
        ("displayname", json!(5)),
        ("displayname", json!("x".repeat(257))),
        ("avatar_url", json!(["mxc://a.example/x"])),
        ("m.tz", json!(1)),
        ("Org.Example", json!(1)),
        ("", json!(1)),
        ("a b", json!(1)),
    ] {
        assert!(matches!(set(name, value).await, Err(AccountsError::Invalid(_))), "{name}");
    }
    let long = "x".repeat(256);
    assert!(matches!(set(&long, json!(1)).await, Err(AccountsError::ProfileKeyTooLarge)));
    let big = json!("x".repeat(65_536));
    assert!(matches!(set("org.big", big).await, Err(AccountsError::ProfileTooLarge)));
}

#[tokio::test]
async fn profiles_of_many_users_are_one_read() {
    let world = World::new().await;
    let users = [world.user("alice").await, world.user("bob").await];
    let before = world.store.round_trips().0;
    let profiles = world.accounts.profiles(&users).await.expect("memory reads");
    assert_eq!(world.store.round_trips().0, before + 1);
    let names: Vec<_> = profiles.iter().flatten().map(|p| p.display_name()).collect();
    assert_eq!(names, [Some("alice"), Some("bob")]);
}

#[tokio::test]
async fn the_same_filter_has_the_same_number() {
    let world = World::new().await;
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let lazy = FilterDefinition::with_lazy_loading();
    let empty = FilterDefinition::empty();
    let accounts = &world.accounts;
    assert_eq!(accounts.create_filter(&alice, &lazy).await.expect("small"), 0);
    assert_eq!(accounts.create_filter(&alice, &empty).await.expect("small"), 1);
    assert_eq!(accounts.create_filter(&alice, &lazy).await.expect("small"), 0);
    let found = accounts.filter(&alice, "0").await.expect("memory reads").expect("stored");
    assert!(!found.room.state.lazy_load_options.is_disabled());
    for id in ["2", "-1", "+0", "", "x", "99999999999999999999999"] {
        assert!(accounts.filter(&alice, id).await.expect("memory reads").is_none(), "{id}");
    }
    assert!(accounts.filter(&bob, "0").await.expect("memory reads").is_none());
    let mut big = FilterDefinition::empty();
    big.event_fields = Some(vec!["x".repeat(20_000)]);
    let done = accounts.create_filter(&alice, &big).await;
    assert!(matches!(done, Err(AccountsError::TooLarge(_))));
}

#[tokio::test]
async fn openid_tokens_prove_for_an_hour() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let openid = world.accounts.openid_token(&user).await.expect("memory writes");
    let found = world.accounts.openid_user(openid.token.reveal()).await.expect("memory reads");
    assert_eq!(found, Some(user));
    world.advance(60 * 60);
    let found = world.accounts.openid_user(openid.token.reveal()).await.expect("memory reads");
    assert_eq!(found, None);
}

#[tokio::test]
async fn presence_changes_are_told_and_idle_people_fade() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let told = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = told.clone();
    world.data.feed().follow_passing(Box::new(move |passing| {
        assert!(matches!(passing, Passing::Presence { .. }));
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }));
    let count = || told.load(std::sync::atomic::Ordering::SeqCst);
    let presence = world.accounts.presence();
    drop(presence.waiting(&user, &PresenceState::Online));
    drop(presence.waiting(&user, &PresenceState::Online));
    assert_eq!(count(), 1);
    assert!(presence.get(&user).currently_active);
    presence.set(&user, &PresenceState::from("busy"), Some("call".into())).expect("known");
    drop(presence.waiting(&user, &PresenceState::Online));
    assert_eq!(presence.get(&user).state.as_str(), "busy");
    assert_eq!(count(), 2);
    presence.set(&user, &PresenceState::Online, None).expect("known");
    world.advance(59);
    drop(presence.waiting(&user, &PresenceState::Unavailable));
    presence.look_through();
    assert_eq!(presence.get(&user).state, PresenceState::Unavailable);
    world.advance(61);
    presence.look_through();
    assert_eq!(presence.get(&user).state, PresenceState::Offline);
    assert!(presence.set(&user, &PresenceState::from("sleeping"), None).is_err());
    assert!(presence.set(&user, &PresenceState::Online, Some("x".repeat(2_000))).is_err());
}

#[tokio::test]
async fn who_waits_for_news_stays_online_until_some_time_after() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let presence = world.accounts.presence();
    let state = || presence.get(&user).state;
    let first = presence.waiting(&user, &PresenceState::Online);
    let second = presence.waiting(&user, &PresenceState::Online);
    world.advance(290);
    drop(first);
    world.advance(290);
    presence.look_through();
    assert_eq!(state(), PresenceState::Online, "another client still waits");
    drop(second);
    world.advance(59);
    presence.look_through();
    assert_eq!(state(), PresenceState::Online);
    world.advance(1);
    presence.look_through();
    assert_eq!(state(), PresenceState::Offline);
}

#[tokio::test]
async fn presence_can_be_switched_off() {
    let world = World::with(Settings { presence: false, ..cheap() }).await;
    let user = world.user("alice").await;
    drop(world.accounts.presence().waiting(&user, &PresenceState::Online));
    world.accounts.presence().set(&user, &PresenceState::Online, None).expect("no error");
    assert_eq!(world.accounts.presence().get(&user).state, PresenceState::Offline);
}

#[tokio::test(start_paused = true)]
async fn housekeeping_writes_what_was_noted_and_ends_with_the_server() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let issued = world.signed_in(&user).await;
    let session = world.accounts.authenticate(issued.access_token.reveal()).await.expect("known");
    world.accounts.note_use(&session, Some("192.0.2.1"), None);
    let commits = world.store.round_trips().1;
    let running = world.data.env().spawn(world.accounts.clone().housekeeping());
    tokio::time::sleep(Duration::from_secs(16)).await;
    assert_eq!(world.store.round_trips().1, commits + 1);
    world.data.env().stop().cancel();
    running.await.expect("it ends");
}
