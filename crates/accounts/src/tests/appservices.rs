//! Application services and their users.

use ruma::{device_id, server_name, user_id};

use super::{PASSWORD, World, cheap, secret};
use crate::{
    AccountsError, AppService, AppServices, Encryption, Ephemeral, Namespace, Namespaces,
    Registration, ServiceRegistration, Settings, SignIn,
};

fn service(id: &str) -> AppService {
    let users = vec![
        Namespace::new(&format!("@_{id}_.*:a.example"), true).expect("an expression"),
        Namespace::new("@shared", false).expect("an expression"),
    ];
    let registration = ServiceRegistration {
        id: id.to_owned(),
        url: None,
        as_token: secret(&format!("as-{id}")),
        hs_token: secret(&format!("hs-{id}")),
        sender_localpart: format!("{id}bot"),
        namespaces: Namespaces { users, ..Namespaces::default() },
        rate_limited: true,
        ephemeral: Ephemeral::No,
        protocols: Vec::new(),
        encryption: Encryption::default(),
    };
    AppService::new(server_name!("a.example"), registration).expect("nothing is wrong")
}

async fn world() -> World {
    let services = AppServices::new(vec![service("irc"), service("sms")]).expect("they differ");
    World::with(Settings { services, ..cheap() }).await
}

fn person(name: &str) -> Registration {
    Registration {
        username: Some(name.to_owned()),
        password: Some(secret(PASSWORD)),
        ..Registration::default()
    }
}

#[tokio::test]
async fn names_of_a_service_are_not_for_people() {
    let world = world().await;
    for name in ["ircbot", "IRCbot", "smsbot"] {
        let done = world.accounts.register(person(name)).await;
        assert!(matches!(done, Err(AccountsError::Exclusive)), "{name}");
    }
    assert!(world.accounts.register(person("shared1")).await.is_ok());
}

#[tokio::test]
async fn a_service_makes_its_own_users_only() {
    let world = world().await;
    let accounts = &world.accounts;
    let irc = accounts.services().by_token("as-irc").expect("it is registered");
    let made = accounts.register_for_service(irc, "_irc_alice", None).await.expect("it is free");
    assert_eq!(made.user_id, "@_irc_alice:a.example");
    assert!(made.issued.is_none());
    let again = accounts.register_for_service(irc, "_irc_alice", None).await;
    assert!(matches!(again, Err(AccountsError::UserInUse)));
    for name in ["alice", "_sms_alice", "smsbot"] {
        let done = accounts.register_for_service(irc, name, None).await;
        assert!(matches!(done, Err(AccountsError::Exclusive)), "{name}");
    }
}

#[tokio::test]
async fn a_service_acts_as_its_users_that_exist() {
    let world = world().await;
    let accounts = &world.accounts;
    let irc = accounts.services().by_token("as-irc").expect("it is registered");
    let own = accounts.masquerade(irc, None, None).await.expect("it is made");
    assert_eq!((own.user_id.as_str(), &own.device_id), ("@ircbot:a.example", &None));
    let absent = accounts.masquerade(irc, Some(user_id!("@_irc_x:a.example")), None).await;
    assert!(matches!(absent, Err(AccountsError::NotRegistered)));
    let foreign = accounts.masquerade(irc, Some(user_id!("@_sms_x:a.example")), None).await;
    assert!(matches!(foreign, Err(AccountsError::OutsideNamespace)));
    let elsewhere = accounts.masquerade(irc, Some(user_id!("@_irc_x:b.example")), None).await;
    assert!(matches!(elsewhere, Err(AccountsError::OutsideNamespace)));
}

#[tokio::test]
async fn a_service_is_no_administrator_and_no_way_around_a_lock() {
    let world = world().await;
    let accounts = &world.accounts;
    let irc = accounts.services().by_token("as-irc").expect("it is registered");
    let user = accounts.register(person("shared1")).await.expect("it is free").user_id;
    accounts.set_admin(&user, true).await.expect("it exists");
    let session = accounts.masquerade(irc, Some(&user), None).await.expect("it may");
    assert!(!session.is_admin);
    accounts.set_locked(&user, true).await.expect("it exists");
    let locked = accounts.masquerade(irc, Some(&user), None).await;
    assert!(matches!(locked, Err(AccountsError::Locked)));
    accounts.deactivate(&user, false).await.expect("it exists");
    let gone = accounts.masquerade(irc, Some(&user), None).await;
    assert!(matches!(gone, Err(AccountsError::Deactivated)));
}

#[tokio::test]
async fn a_service_acts_from_devices_that_it_made() {
    let world = world().await;
    let accounts = &world.accounts;
    let irc = accounts.services().by_token("as-irc").expect("it is registered");
    let user = accounts.register_for_service(irc, "_irc_a", None).await.expect("free").user_id;
    let device = device_id!("BRIDGE");
    let unknown = accounts.masquerade(irc, Some(&user), Some(device)).await;
    assert!(matches!(unknown, Err(AccountsError::MasqueradeDevice)));
    assert!(accounts.put_device(&user, device, Some("Bridge")).await.expect("it is new"));
    assert!(!accounts.put_device(&user, device, Some("Other")).await.expect("it is there"));
    let session = accounts.masquerade(irc, Some(&user), Some(device)).await.expect("it is there");
    assert_eq!(session.device_id.as_deref(), Some(device));
    let names = accounts.device_names(&user).await.expect("memory reads");
    assert_eq!(names[device].as_deref(), Some("Other"));
    let long = "x".repeat(300);
    let refused = accounts.put_device(&user, long.as_str().into(), None).await;
    assert!(matches!(refused, Err(AccountsError::Invalid(_))));
}

#[tokio::test]
async fn a_service_signs_in_as_its_users() {
    let world = world().await;
    let accounts = &world.accounts;
    let irc = accounts.services().by_token("as-irc").expect("it is registered");
    let how = SignIn::default();
    let absent = accounts.sign_in_for_service(irc, "_irc_a", &how).await;
    assert!(matches!(absent, Err(AccountsError::NotRegistered)));
    accounts.register_for_service(irc, "_irc_a", None).await.expect("it is free");
    let issued = accounts.sign_in_for_service(irc, "@_irc_a:a.example", &how).await;
    let issued = issued.expect("it is there");
    assert!(accounts.authenticate(issued.access_token.reveal()).await.is_ok());
    let foreign = accounts.sign_in_for_service(irc, "smsbot", &how).await;
    assert!(matches!(foreign, Err(AccountsError::Exclusive)));
}
