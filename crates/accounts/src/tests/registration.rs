use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::{PASSWORD, World, cheap, secret};
use crate::{
    AccountsError, NewAccount, NewRegistrationToken, Registration, RegistrationMode, Settings,
    SignIn,
};

fn registration(name: &str) -> Registration {
    Registration {
        username: Some(name.to_owned()),
        password: Some(secret(PASSWORD)),
        sign_in: Some(SignIn::default()),
        ..Registration::default()
    }
}

#[tokio::test]
async fn registering_makes_account_profile_and_session_in_one_batch() {
    let world = World::new().await;
    let before = world.store.round_trips();
    let made = world.accounts.register(registration("Alice")).await.expect("the name is free");
    let after = world.store.round_trips();
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1));
    assert_eq!(made.user_id.as_str(), "@alice:a.example");
    let issued = made.issued.expect("it was wanted");
    assert!(world.accounts.authenticate(issued.access_token.reveal()).await.is_ok());
    let profile = world.accounts.profile(&made.user_id).await.expect("memory reads");
    assert_eq!(profile.expect("it exists").display_name(), Some("alice"));
}

#[tokio::test]
async fn a_name_is_given_once_in_any_case_and_never_again() {
    let world = World::new().await;
    let user = world.user("alice").await;
    for name in ["alice", "ALICE"] {
        let again = world.accounts.register(registration(name)).await;
        assert!(matches!(again, Err(AccountsError::UserInUse)));
        let check = world.accounts.check_username(name).await;
        assert!(matches!(check, Err(AccountsError::UserInUse)));
    }
    world.accounts.deactivate(&user, false).await.expect("memory writes");
    let again = world.accounts.register(registration("alice")).await;
    assert!(matches!(again, Err(AccountsError::UserInUse)));
}

#[tokio::test]
async fn two_registrations_at_once_make_one_account() {
    let world = World::new().await;
    let (one, other) = tokio::join!(
        world.accounts.register(registration("alice")),
        world.accounts.register(registration("alice")),
    );
    assert_eq!([one.is_ok(), other.is_ok()].iter().filter(|ok| **ok).count(), 1);
}

#[tokio::test]
async fn registration_is_closed_unless_opened() {
    let world = World::with(Settings { registration: RegistrationMode::Closed, ..cheap() }).await;
    let done = world.accounts.register(registration("alice")).await;
    assert!(matches!(done, Err(AccountsError::RegistrationClosed)));
    let guest = Registration { guest: true, ..Registration::default() };
    let done = world.accounts.register(guest).await;
    assert!(matches!(done, Err(AccountsError::GuestsClosed)));
}

#[tokio::test]
async fn guests_have_numbers_for_names_and_no_password() {
    let world = World::with(Settings { guests: true, ..cheap() }).await;
    let wanted =
        Registration { guest: true, sign_in: Some(SignIn::default()), ..Registration::default() };
    let made = world.accounts.register(wanted).await.expect("guests are welcome");
    assert!(made.user_id.localpart().bytes().all(|b| b.is_ascii_digit()));
    let token = made.issued.expect("it was wanted").access_token;
    assert!(world.accounts.authenticate(token.reveal()).await.expect("known").is_guest);
    let account = world.accounts.account(&made.user_id).await.expect("memory reads");
    assert!(!account.expect("it exists").has_password);
}

#[tokio::test]
async fn a_person_without_a_wish_gets_a_name() {
    let world = World::new().await;
    let wanted = Registration { username: None, ..registration("") };
    let made = world.accounts.register(wanted).await.expect("a name is found");
    assert_eq!(made.user_id.localpart().len(), 15);
}

#[tokio::test]
async fn weak_and_endless_passwords_are_refused() {
    let world = World::new().await;
    for password in ["", "short", &"x".repeat(513)] {
        let wanted = Registration { password: Some(secret(password)), ..registration("alice") };
        let done = world.accounts.register(wanted).await;
        assert!(matches!(done, Err(AccountsError::WeakPassword(_))));
    }
}

#[tokio::test]
async fn a_registration_token_has_so_many_uses_and_an_end() {
    let settings = Settings {
        registration: RegistrationMode::Token,
        registration_tokens: vec![secret("from-the-file")],
        ..cheap()
    };
    let world = World::with(settings).await;
    let accounts = &world.accounts;
    let with = |name: &str, token: &str| Registration {
        token: Some(token.to_owned()),
        ..registration(name)
    };
    let none = accounts.register(registration("a1")).await;
    assert!(matches!(none, Err(AccountsError::WrongRegistrationToken)));
    let new =
        NewRegistrationToken { token: Some("two".into()), uses_max: Some(2), expires_ms: None };
    accounts.create_registration_token(new).await.expect("it is free");
    let (one, other) =
        tokio::join!(accounts.register(with("a1", "two")), accounts.register(with("a2", "two")));
    assert!(one.is_ok() && other.is_ok());
    assert!(!accounts.is_registration_token_valid("two").await.expect("memory reads"));
    let third = accounts.register(with("a3", "two")).await;
    assert!(matches!(third, Err(AccountsError::WrongRegistrationToken)));
    let ends = world.data.env().now_millis() + 1_000;
    let new =
        NewRegistrationToken { token: Some("soon".into()), uses_max: None, expires_ms: Some(ends) };
    accounts.create_registration_token(new).await.expect("it is free");
    assert!(accounts.is_registration_token_valid("soon").await.expect("memory reads"));
    world.advance(1);
    assert!(!accounts.is_registration_token_valid("soon").await.expect("memory reads"));
    assert!(accounts.is_registration_token_valid("from-the-file").await.expect("memory reads"));
    accounts.register(with("a4", "from-the-file")).await.expect("good for any number");
    for bad in ["", "a b", "x/y", &"x".repeat(65)] {
        assert!(!accounts.is_registration_token_valid(bad).await.expect("memory reads"));
    }
}

fn mac(parts: [&str; 4]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(b"shared").expect("any length");
    mac.update(parts.join("\0").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn the_shared_secret_makes_accounts_with_a_fresh_nonce_only() {
    let settings = Settings {
        registration: RegistrationMode::Closed,
        registration_shared_secret: Some(secret("shared")),
        ..cheap()
    };
    let world = World::with(settings).await;
    let accounts = &world.accounts;
    let new =
        |admin| NewAccount { localpart: "root".into(), password: Some(secret(PASSWORD)), admin };
    let register = |nonce: String, admin, mac: String| async move {
        accounts.register_with_shared_secret(&nonce, new(admin), None, &mac, None).await
    };
    let nonce = accounts.registration_nonce().expect("it is configured");
    let not_admin = mac([&nonce, "root", PASSWORD, "notadmin"]);
    assert!(register(nonce.clone(), true, not_admin.clone()).await.is_err());
    // A nonce is used up by a wrong attempt too.
    assert!(register(nonce, false, not_admin).await.is_err());
    let nonce = accounts.registration_nonce().expect("it is configured");
    let right = mac([&nonce, "root", PASSWORD, "admin"]);
    world.advance(61);
    assert!(register(nonce, true, right).await.is_err());
    let nonce = accounts.registration_nonce().expect("it is configured");
    let right = mac([&nonce, "root", PASSWORD, "admin"]);
    let made = register(nonce, true, right).await.expect("all is right");
    let account = accounts.account(&made.user_id).await.expect("memory reads");
    assert!(account.expect("it exists").admin);
    let world = World::new().await;
    assert!(world.accounts.registration_nonce().is_err());
}
