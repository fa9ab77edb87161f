use blaupause_data::StreamPos;
use ruma::{OwnedUserId, UserId, events::tag::TagInfo, room_id, user_id};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use super::World;
use crate::{AccountsError, Scope};

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    to_raw_value(value).expect("JSON")
}

async fn kinds(
    world: &World,
    user: &UserId,
    scope: Scope<'_>,
    since: Option<StreamPos>,
) -> Vec<String> {
    let data = world.accounts.account_data_since(user, scope, since).await.expect("memory reads");
    data.into_iter().map(|datum| datum.kind).collect()
}

#[tokio::test]
async fn what_changed_after_a_position_is_found() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let room = room_id!("!r:a.example");
    let accounts = &world.accounts;
    let set = |room, kind, content| {
        let user = user.clone();
        async move { accounts.set_account_data(&user, room, kind, &raw(&content)).await }
    };
    set(None, "org.a", json!({"x": 1})).await.expect("an object");
    set(Some(room), "org.b", json!({"y": 1})).await.expect("an object");
    let before = world.data.position();
    set(None, "org.c", json!({"z": 1})).await.expect("an object");
    // The same again is no change.
    set(None, "org.a", json!({"x": 1})).await.expect("an object");
    assert_eq!(kinds(&world, &user, Scope::Global, Some(before)).await, ["org.c"]);
    assert_eq!(kinds(&world, &user, Scope::Global, None).await, ["org.a", "org.c"]);
    assert_eq!(kinds(&world, &user, Scope::Room(room), None).await, ["org.b"]);
    assert_eq!(kinds(&world, &user, Scope::Everything, None).await, ["org.a", "org.c", "org.b"]);
    let found = accounts.account_data(&user, None, "org.a").await.expect("memory reads");
    assert_eq!(found.expect("it is set").get(), r#"{"x":1}"#);
}

#[tokio::test]
async fn removed_data_is_told_to_those_who_knew_it() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let accounts = &world.accounts;
    accounts
        .set_account_data(&user, None, "org.a", &raw(&json!({"x": 1})))
        .await
        .expect("an object");
    let before = world.data.position();
    accounts.delete_account_data(&user, None, "org.a").await.expect("memory writes");
    assert!(accounts.account_data(&user, None, "org.a").await.expect("memory reads").is_none());
    assert!(kinds(&world, &user, Scope::Global, None).await.is_empty());
    let told = accounts.account_data_since(&user, Scope::Global, Some(before)).await;
    let told = told.expect("memory reads");
    assert_eq!(told[0].global_event().json().get(), r#"{"content":{},"type":"org.a"}"#);
    assert!(told[0].deleted);
}

/// SDKs set `{}` to remove, and wait until /sync shows it.
#[tokio::test]
async fn an_empty_object_is_told_even_where_nothing_was() {
    let world = World::new().await;
    let user = world.user("alice").await;
    for _ in 0..2 {
        let before = world.data.position();
        let empty = raw(&json!({}));
        world.accounts.set_account_data(&user, None, "org.a", &empty).await.expect("an object");
        assert_eq!(kinds(&world, &user, Scope::Global, Some(before)).await, ["org.a"]);
        assert!(kinds(&world, &user, Scope::Global, None).await.is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_account_data_is_refused() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let accounts = &world.accounts;
    for kind in ["m.fully_read", "m.push_rules"] {
        let done = accounts.set_account_data(&user, None, kind, &raw(&json!({}))).await;
        assert!(matches!(done, Err(AccountsError::ServerManaged(_))));
    }
    for content in [json!([1]), json!("x"), json!(null), json!(5)] {
        let done = accounts.set_account_data(&user, None, "org.a", &raw(&content)).await;
        assert!(matches!(done, Err(AccountsError::NotAnObject)));
    }
    let big = raw(&json!({"x": "x".repeat(70_000)}));
    let done = accounts.set_account_data(&user, None, "org.a", &big).await;
    assert!(matches!(done, Err(AccountsError::TooLarge(_))));
    for kind in [String::new(), "x".repeat(256)] {
        let done = accounts.set_account_data(&user, None, &kind, &raw(&json!({}))).await;
        assert!(matches!(done, Err(AccountsError::Invalid(_))));
    }
}

#[tokio::test]
async fn a_user_cannot_fill_the_disk_with_types() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let room = room_id!("!r:a.example");
    for number in 0..100 {
        let kind = format!("org.{number}");
        let done =
            world.accounts.set_account_data(&user, Some(room), &kind, &raw(&json!({"x": 1}))).await;
        done.expect("below the limit");
    }
    let done =
        world.accounts.set_account_data(&user, Some(room), "org.x", &raw(&json!({"x": 1}))).await;
    assert!(matches!(done, Err(AccountsError::TooMany(_))));
    // One that is there can still be changed.
    let done =
        world.accounts.set_account_data(&user, Some(room), "org.1", &raw(&json!({"a": 1}))).await;
    done.expect("it exists");
}

#[tokio::test]
async fn ignored_users_are_kept_in_memory_and_follow_changes() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let accounts = &world.accounts;
    assert!(accounts.ignored_users(&user).await.expect("memory reads").is_empty());
    let list = json!({"ignored_users": {"@bad:b.example": {}}});
    accounts
        .set_account_data(&user, None, "m.ignored_user_list", &raw(&list))
        .await
        .expect("an object");
    let ignored = accounts.ignored_users(&user).await.expect("memory reads");
    assert!(ignored.contains::<OwnedUserId>(&user_id!("@bad:b.example").to_owned()));
    let before = world.store.round_trips().0;
    accounts.ignored_users(&user).await.expect("memory reads");
    assert_eq!(world.store.round_trips().0, before);
    let nonsense = json!({"ignored_users": ["x"]});
    accounts
        .set_account_data(&user, None, "m.ignored_user_list", &raw(&nonsense))
        .await
        .expect("an object");
    assert!(accounts.ignored_users(&user).await.expect("memory reads").is_empty());
}

#[tokio::test]
async fn tags_are_account_data_of_the_room() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let room = room_id!("!r:a.example");
    let accounts = &world.accounts;
    let mut info = TagInfo::new();
    info.order = Some(0.5);
    accounts.set_tag(&user, room, "u.work", &info).await.expect("possible");
    accounts.set_tag(&user, room, "m.favourite", &TagInfo::new()).await.expect("possible");
    accounts.delete_tag(&user, room, "m.favourite").await.expect("possible");
    accounts.delete_tag(&user, room, "u.never").await.expect("possible");
    let tags = accounts.tags(&user, room).await.expect("memory reads");
    assert_eq!(serde_json::to_value(tags).expect("plain data"), json!({"u.work": {"order": 0.5}}));
    assert_eq!(kinds(&world, &user, Scope::Room(room), None).await, ["m.tag"]);
    info.order = Some(2.0);
    assert!(accounts.set_tag(&user, room, "u.x", &info).await.is_err());
    assert!(accounts.set_tag(&user, room, &"x".repeat(256), &TagInfo::new()).await.is_err());
}
