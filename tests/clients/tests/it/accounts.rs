//! Signing in and out.

use anyhow::{Context, Result};
use blaupause_clients::{Homeserver as _, PASSWORD, Person, scenario, until};
use matrix_sdk::{Client, Error, ruma::api::error::ErrorKind};

use crate::rooms::talk;

/// The error code the server answered with, or what else went wrong.
pub fn kind(error: &Error) -> String {
    match error.client_api_error_kind() {
        Some(kind) => kind.errcode().to_string(),
        None => error.to_string(),
    }
}

/// Wait until the server knows this device no longer.
pub async fn is_signed_out(client: &Client) -> Result<()> {
    until("the access token is dead", async || {
        let error = client.whoami().await.err()?;
        matches!(error.client_api_error_kind(), Some(ErrorKind::UnknownToken(_))).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_gives_a_session_of_its_owner() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let who = alice.client.whoami().await?;
        assert_eq!(who.user_id, alice.id());
        assert_eq!(who.device_id.as_deref(), alice.client.device_id());
        let devices = alice.client.devices().await?.devices;
        assert_eq!(devices.len(), 1);
        assert_eq!(devices[0].display_name.as_deref(), Some("a test's device"));
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_refused() {
    scenario(async |server| {
        Person::new(server, "alice").await?;
        for (name, password) in [("alice", "wrong"), ("nobody", PASSWORD)] {
            let client = Client::builder().homeserver_url(server.url()).build().await?;
            let refused = client.matrix_auth().login_username(name, password).send().await;
            let error = refused.err().context("signed in with a wrong password")?;
            assert_eq!(kind(&error), "M_FORBIDDEN");
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logout_ends_this_session_and_no_other() {
    scenario(async |server| {
        let phone = Person::new(server, "alice").await?;
        let laptop = Person::sign_in(server, "alice").await?;
        assert_eq!(laptop.client.devices().await?.devices.len(), 2);
        phone.client.logout().await?;
        is_signed_out(&phone.client).await?;
        let left = laptop.client.devices().await?.devices;
        assert_eq!(left.len(), 1);
        assert_eq!(Some(&*left[0].device_id), laptop.client.device_id());
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_removed_only_with_the_password() {
    scenario(async |server| {
        let phone = Person::new(server, "alice").await?;
        let laptop = Person::sign_in(server, "alice").await?;
        let lost = [phone.client.device_id().context("a device")?.to_owned()];
        let asked = laptop.client.delete_devices(&lost, None).await;
        let error = asked.err().context("removed without the password")?;
        let session = error.as_uiaa_response().context("stages")?.session.clone();
        assert_eq!(phone.client.whoami().await?.user_id, phone.id());
        let auth = laptop.password_again(session);
        laptop.client.delete_devices(&lost, Some(auth)).await?;
        is_signed_out(&phone.client).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_gives_a_new_access_token() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let client =
            Client::builder().homeserver_url(server.url()).handle_refresh_tokens().build().await?;
        let login = client.matrix_auth().login_username("alice", PASSWORD);
        login.request_refresh_token().send().await?;
        let old = client.access_token().context("a token")?;
        client.refresh_access_token().await?;
        assert_ne!(client.access_token().context("a token")?, old);
        assert_eq!(client.whoami().await?.user_id, alice.id());
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reopened_app_goes_on_where_it_was() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, true).await?;
        here.say("before").await?;
        there.sees("before").await?;
        let room = there.room.room_id().to_owned();
        drop(there);
        let bob = bob.reopened(server).await?;
        here.say("meanwhile").await?;
        let there = bob.open(&room).await?;
        there.sees("before").await?;
        there.sees("meanwhile").await?;
        there.say("after").await?;
        here.sees("after").await?;
        Ok(())
    })
    .await;
}
