use blaupause_e2ee::{BackupKeys, E2eeError, rows::BackupKeyValue};
use ruma::{room_id, user_id};
use serde_json::value::RawValue;

use crate::people::World;

fn auth_data() -> Box<RawValue> {
    RawValue::from_string("{\"public_key\":\"abc\"}".to_owned()).expect("is JSON")
}

fn keys(first_message_index: u64, is_verified: bool) -> BackupKeys {
    let key = BackupKeyValue {
        is_verified,
        first_message_index,
        forwarded_count: 0,
        session_data: format!("{{\"from\":{first_message_index}}}"),
    };
    let mut keys = BackupKeys::new();
    keys.entry(room_id!("!r:example.org").to_owned()).or_default().insert("s".to_owned(), key);
    keys
}

#[tokio::test]
async fn a_stored_key_is_replaced_only_by_a_better_one() {
    let world = World::new().await;
    let user = user_id!("@anna:example.org");
    let version = world.e2ee.create_backup(user, "m.test", &auth_data()).await.expect("made");
    let put = async |keys: BackupKeys| {
        world.e2ee.put_backup_keys(user, &version, &keys).await.expect("stored")
    };
    let first = put(keys(5, false)).await;
    assert_eq!((first.count, put(keys(9, false)).await.etag), (1, first.etag.clone()));
    let better = put(keys(2, false)).await;
    assert_ne!(better.etag, first.etag);
    assert_ne!(put(keys(9, true)).await.etag, better.etag);
    let stored = world.e2ee.backup_keys(user, &version, None, Some("s")).await.expect("read");
    let key = &stored[room_id!("!r:example.org")]["s"];
    assert_eq!((key.first_message_index, key.is_verified), (9, true));
}

#[tokio::test]
async fn only_the_newest_version_is_written_and_a_deleted_one_is_gone() {
    let world = World::new().await;
    let user = user_id!("@anna:example.org");
    let old = world.e2ee.create_backup(user, "m.test", &auth_data()).await.expect("made");
    let new = world.e2ee.create_backup(user, "m.test", &auth_data()).await.expect("made");
    let refused = world.e2ee.put_backup_keys(user, &old, &keys(1, true)).await;
    assert!(matches!(refused, Err(E2eeError::BackupOutdated { current }) if current == new));
    world.e2ee.put_backup_keys(user, &new, &keys(1, true)).await.expect("stored");
    world.e2ee.delete_backup(user, &new).await.expect("deleted");
    let gone = world.e2ee.backup(user, Some(&new)).await;
    assert!(matches!(gone, Err(E2eeError::BackupUnknown)));
    let third = world.e2ee.create_backup(user, "m.test", &auth_data()).await.expect("made");
    assert_ne!(third, new);
    assert!(world.e2ee.backup_keys(user, &third, None, None).await.expect("read").is_empty());
}

#[tokio::test]
async fn versions_that_nobody_deletes_have_a_limit() {
    let world = World::new().await;
    let user = user_id!("@anna:example.org");
    for _ in 0..50 {
        world.e2ee.create_backup(user, "m.test", &auth_data()).await.expect("made");
    }
    let refused = world.e2ee.create_backup(user, "m.test", &auth_data()).await;
    assert!(matches!(refused, Err(E2eeError::TooManyBackups)), "{refused:?}");
    world.e2ee.delete_backup(user, "7").await.expect("deleted");
    world.e2ee.create_backup(user, "m.test", &auth_data()).await.expect("there is room again");
}
