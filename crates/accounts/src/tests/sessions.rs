use std::sync::Arc;

use ruma::{device_id, user_id};

use super::{PASSWORD, World, cheap, secret};
use crate::{AccountsError, Argon2Cost, FailedLogins, Settings, SignIn};

fn is_unknown<T>(result: &Result<T, AccountsError>) -> bool {
    matches!(result, Err(AccountsError::UnknownToken { soft_logout: false }))
}

#[tokio::test]
async fn a_token_costs_one_read_and_then_none() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let issued = world.signed_in(&user).await;
    let before = world.store.round_trips().0;
    let session = world.accounts.authenticate(issued.access_token.reveal()).await.expect("known");
    assert_eq!(session.user_id, user);
    assert_eq!(session.device_id.as_ref(), Some(&issued.device_id));
    assert_eq!(world.store.round_trips().0, before + 1);
    world.accounts.authenticate(issued.access_token.reveal()).await.expect("known");
    assert_eq!(world.store.round_trips().0, before + 1);
}

#[tokio::test]
async fn what_is_no_token_costs_no_read() {
    let world = World::new().await;
    let before = world.store.round_trips().0;
    for token in ["", " ", "a b", "\0", "bogus", "bp_zz", &"x".repeat(8_000)] {
        assert!(is_unknown(&world.accounts.authenticate(token).await), "{token}");
    }
    assert_eq!(world.store.round_trips().0, before);
}

#[tokio::test]
async fn signing_out_ends_the_token_at_once() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let (one, other) = (world.signed_in(&user).await, world.signed_in(&user).await);
    let session = world.accounts.authenticate(one.access_token.reveal()).await.expect("known");
    world.accounts.sign_out(&session).await.expect("memory writes");
    assert!(is_unknown(&world.accounts.authenticate(one.access_token.reveal()).await));
    assert!(world.accounts.authenticate(other.access_token.reveal()).await.is_ok());
    assert_eq!(world.accounts.devices(&user).await.expect("memory reads").len(), 1);
}

#[tokio::test]
async fn signing_in_with_a_known_device_ends_its_old_token() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let how = SignIn {
        device_id: Some(device_id!("PHONE").to_owned()),
        device_name: Some("phone".into()),
        refresh: false,
        origin: None,
    };
    let first = world.sign_in(&user, &how).await;
    world.accounts.authenticate(first.access_token.reveal()).await.expect("known");
    let how = SignIn { device_name: Some("other".into()), ..how };
    let second = world.sign_in(&user, &how).await;
    assert!(is_unknown(&world.accounts.authenticate(first.access_token.reveal()).await));
    assert!(world.accounts.authenticate(second.access_token.reveal()).await.is_ok());
    let device = world.accounts.device(&user, device_id!("PHONE")).await.expect("memory reads");
    assert_eq!(device.and_then(|device| device.display_name).as_deref(), Some("phone"));
}

#[tokio::test]
async fn signing_in_is_one_batch() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let before = world.store.round_trips().1;
    world.signed_in(&user).await;
    assert_eq!(world.store.round_trips().1, before + 1);
}

#[tokio::test]
async fn unknown_name_wrong_password_and_no_password_are_the_same_error() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let guestlike = crate::NewAccount { localpart: "sso".into(), password: None, admin: false };
    world.accounts.create(guestlike).await.expect("the name is free");
    let tries = [
        ("alice", "wrong"),
        ("alice", ""),
        ("nobody", PASSWORD),
        ("sso", ""),
        ("sso", "*"),
        ("sso", PASSWORD),
        ("@alice:b.example", PASSWORD),
        ("a\0b", PASSWORD),
        ("*)(uid=*", PASSWORD),
        ("", PASSWORD),
    ];
    for (name, password) in tries {
        let how = SignIn::default();
        let done = world.accounts.sign_in_with_password(name, &secret(password), &how).await;
        assert!(matches!(done, Err(AccountsError::WrongPassword)), "{name} {password}");
    }
    let long = secret(&"x".repeat(10_000));
    assert!(world.accounts.check_password(&user, &long).await.is_err());
    for name in ["alice", "Alice", "@alice:a.example", "@ALICE:a.example"] {
        let how = SignIn::default();
        let done = world.accounts.sign_in_with_password(name, &secret(PASSWORD), &how).await;
        assert!(done.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn a_password_hash_is_renewed_when_the_cost_changes() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let dearer = Argon2Cost { memory_kib: 16, passes: 2, lanes: 1 };
    let world = world.restarted(Settings { argon2: dearer, ..cheap() }).await;
    world.signed_in(&user).await;
    assert!(world.dump().await.contains("m=16,t=2,p=1"));
    world.signed_in(&user).await;
}

#[tokio::test]
async fn neither_tokens_nor_passwords_are_stored() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let issued = world.sign_in(&user, &SignIn { refresh: true, ..SignIn::default() }).await;
    let login = world.accounts.login_token(&user, None).await.expect("memory writes");
    let openid = world.accounts.openid_token(&user).await.expect("memory writes");
    let dump = world.dump().await;
    let refresh = issued.refresh_token.expect("it was wanted");
    for text in [&issued.access_token, &refresh, &login.token, &openid.token, &secret(PASSWORD)] {
        assert!(!dump.contains(text.reveal()));
        // The random part without the kind and the partition.
        let random = &text.reveal()[text.reveal().len().saturating_sub(40)..];
        assert!(!dump.contains(random));
    }
}

#[tokio::test]
async fn a_login_token_signs_in_once_and_for_two_minutes() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let how = SignIn::default();
    let login = world.accounts.login_token(&user, None).await.expect("memory writes");
    let done = world.accounts.sign_in_with_token(login.token.reveal(), &how).await;
    assert_eq!(done.expect("it is fresh").user_id, user);
    let again = world.accounts.sign_in_with_token(login.token.reveal(), &how).await;
    assert!(matches!(again, Err(AccountsError::WrongLoginToken)));
    let login = world.accounts.login_token(&user, None).await.expect("memory writes");
    world.advance(121);
    let late = world.accounts.sign_in_with_token(login.token.reveal(), &how).await;
    assert!(matches!(late, Err(AccountsError::WrongLoginToken)));
    assert!(world.accounts.sign_in_with_token("bogus", &how).await.is_err());
}

#[tokio::test]
async fn tokens_of_one_kind_are_not_good_for_another() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let issued = world.sign_in(&user, &SignIn { refresh: true, ..SignIn::default() }).await;
    let openid = world.accounts.openid_token(&user).await.expect("memory writes");
    let refresh = issued.refresh_token.expect("it was wanted");
    assert!(is_unknown(&world.accounts.authenticate(refresh.reveal()).await));
    assert!(is_unknown(&world.accounts.authenticate(openid.token.reveal()).await));
    assert!(world.accounts.refresh(issued.access_token.reveal()).await.is_err());
    let found = world.accounts.openid_user(issued.access_token.reveal()).await;
    assert_eq!(found.expect("memory reads"), None);
}

#[tokio::test]
async fn a_locked_account_may_only_sign_out() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let issued = world.signed_in(&user).await;
    world.accounts.authenticate(issued.access_token.reveal()).await.expect("known");
    world.accounts.set_locked(&user, true).await.expect("memory writes");
    let token = issued.access_token.reveal();
    assert!(matches!(world.accounts.authenticate(token).await, Err(AccountsError::Locked)));
    assert!(world.accounts.authenticate_even_locked(token).await.is_ok());
    let done =
        world.accounts.sign_in_with_password("alice", &secret(PASSWORD), &SignIn::default()).await;
    assert!(matches!(done, Err(AccountsError::Locked)));
    world.accounts.set_locked(&user, false).await.expect("memory writes");
    assert!(world.accounts.authenticate(token).await.is_ok());
}

#[tokio::test]
async fn device_names_are_read_once_and_follow_changes() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let issued = world.signed_in(&user).await;
    let names = world.accounts.device_names(&user).await.expect("memory reads");
    assert_eq!(names.get(&issued.device_id), Some(&None));
    let before = world.store.round_trips().0;
    let again = world.accounts.device_names(&user).await.expect("memory reads");
    assert!(Arc::ptr_eq(&names, &again));
    assert_eq!(world.store.round_trips().0, before);
    let device = issued.device_id;
    world.accounts.rename_device(&user, &device, Some("work")).await.expect("it exists");
    let names = world.accounts.device_names(&user).await.expect("memory reads");
    assert_eq!(names.get(&device), Some(&Some("work".to_owned())));
    let remote = world.accounts.device_names(user_id!("@x:b.example")).await;
    assert!(remote.expect("memory reads").is_empty());
    let unknown = world.accounts.rename_device(&user, device_id!("NO"), Some("x")).await;
    assert!(matches!(unknown, Err(AccountsError::DeviceUnknown)));
}

#[tokio::test]
async fn the_use_of_a_device_is_written_at_most_once_a_minute() {
    let world = World::new().await;
    let user = world.user("alice").await;
    let issued = world.signed_in(&user).await;
    let session = world.accounts.authenticate(issued.access_token.reveal()).await.expect("known");
    for _ in 0..10 {
        world.accounts.note_use(&session, Some("192.0.2.1"), Some("agent"));
        world.accounts.write_last_seen().await.expect("memory writes");
    }
    let commits = world.store.round_trips().1;
    world.accounts.note_use(&session, Some("192.0.2.2"), None);
    world.accounts.write_last_seen().await.expect("memory writes");
    assert_eq!(world.store.round_trips().1, commits);
    world.advance(61);
    world.accounts.note_use(&session, Some("192.0.2.2"), None);
    let seen = |device: Option<crate::DeviceInfo>| device.and_then(|d| d.last_seen?.address);
    // Seen before it is written, and after.
    for _ in 0..2 {
        let device = world.accounts.device(&user, &issued.device_id).await.expect("memory reads");
        assert_eq!(seen(device).as_deref(), Some("192.0.2.2"));
        world.accounts.write_last_seen().await.expect("memory writes");
    }
    assert_eq!(world.store.round_trips().1, commits + 1);
}

#[tokio::test]
async fn passwords_can_be_guessed_only_slowly() {
    let failed_logins = Some(FailedLogins { per_second: 0.1, burst: 3 });
    let world = World::with(Settings { failed_logins, ..cheap() }).await;
    let alice = world.user("alice").await;
    let how = SignIn::default();
    let tried = |name: &'static str, password: &'static str| {
        let (accounts, how) = (&world.accounts, &how);
        async move { accounts.sign_in_with_password(name, &secret(password), how).await }
    };
    for name in ["alice", "nobody"] {
        for _ in 0..3 {
            assert!(matches!(tried(name, "wrong").await, Err(AccountsError::WrongPassword)));
        }
        let late = tried(name, PASSWORD).await;
        assert!(matches!(late, Err(AccountsError::TooManyTries { retry_after_ms: 10_000 })));
    }
    // Not by another way either.
    let other = world.accounts.check_password(&alice, &secret(PASSWORD)).await;
    assert!(matches!(other, Err(AccountsError::TooManyTries { .. })));
    world.advance(10);
    assert!(tried("alice", PASSWORD).await.is_ok());
    // A right password makes the wrong ones forgotten.
    for _ in 0..3 {
        assert!(matches!(tried("alice", "wrong").await, Err(AccountsError::WrongPassword)));
    }
}
