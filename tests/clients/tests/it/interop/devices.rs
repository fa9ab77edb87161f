//! What one server learns of the devices behind the other.

use anyhow::{Context, Result, bail};
use blaupause_clients::{Person, Talk, between, until};
use matrix_sdk::encryption::CrossSigningResetAuthType;

use super::{encryption::knows, talk};
use crate::encryption::identity_key;

/// Somebody's key as another person's device has it, without asking for it.
async fn identity_as_known(by: &Person, of: &Person) -> Option<String> {
    let identity = by.client.encryption().get_user_identity(&of.id()).await.ok()??;
    Some(identity.master_key().get_first_key()?.to_base64())
}

/// The device is gone for the other person.
async fn loses(somebody: &Person, of: &Person) -> Result<()> {
    let device = of.client.device_id().context("a device")?.to_owned();
    let user = of.id();
    of.client.logout().await?;
    until("the device is gone", async || {
        let known = somebody.client.encryption().get_device(&user, &device).await;
        known.ok()?.is_none().then_some(())
    })
    .await
}

async fn gets_new_identity(person: &Person) -> Result<()> {
    let handle = person.client.encryption().recovery().reset_identity().await?;
    let Some(handle) = handle else { return Ok(()) };
    let CrossSigningResetAuthType::Uiaa(stages) = handle.auth_type() else {
        bail!("asked for something else than the password");
    };
    handle.reset(Some(person.password_again(stages.session.clone()))).await?;
    Ok(())
}

/// An encrypted talk in which both have spoken: from then on each knows the other's devices.
async fn greet(alice: &Person, bob: &Person) -> Result<(Talk, Talk)> {
    let (here, there) = talk(alice, bob).await?;
    here.say("hello").await?;
    there.sees("hello").await?;
    there.say("hello to you").await?;
    here.sees("hello to you").await?;
    Ok((here, there))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/interop starts the two servers"]
async fn a_device_is_known_elsewhere_until_it_signs_out() {
    between(async |pair| {
        let (alice, bob) = pair.people().await?;
        greet(&alice, &bob).await?;
        let his = Person::sign_in(&pair.away, &pair.called("bob")).await?;
        let hers = Person::sign_in(&pair.home, &pair.called("alice")).await?;
        knows(&alice, &his).await?;
        knows(&bob, &hers).await?;
        for laptop in [&his, &hers] {
            let device = laptop.client.device_id().context("a device")?;
            laptop.client.rename_device(device, "another name").await?;
        }
        // A name is no reason to forget a device.
        knows(&alice, &his).await?;
        knows(&bob, &hers).await?;
        loses(&alice, &his).await?;
        loses(&bob, &hers).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/interop starts the two servers"]
async fn a_new_identity_is_seen_elsewhere() {
    between(async |pair| {
        let (alice, bob) = pair.people().await?;
        let (here, there) = greet(&alice, &bob).await?;
        for (one, other) in [(&alice, &bob), (&bob, &alice)] {
            let old = until("the identity is known", async || identity_as_known(one, other).await)
                .await?;
            gets_new_identity(other).await?;
            let new = identity_key(other).await?;
            assert_ne!(new, old);
            let what = format!("{} sees the new identity of {}", one.id(), other.id());
            until(&what, async || {
                (identity_as_known(one, other).await.as_deref() == Some(&*new)).then_some(())
            })
            .await?;
        }
        here.say("do you know me?").await?;
        there.sees("do you know me?").await?;
        Ok(())
    })
    .await;
}
