//! End-to-end encryption: what only the two ends can read, and what survives a lost device.

use anyhow::{Context, Result};
use blaupause_clients::{Person, bodies, scenario, until};
use matrix_sdk::{
    RoomState,
    encryption::{VerificationState, backups::BackupState, recovery::RecoveryState},
};

use crate::rooms::{room, talk};

/// Wait until this device counts as verified, or as not verified.
pub async fn is_verified(person: &Person, verified: bool) -> Result<()> {
    let wanted = if verified { VerificationState::Verified } else { VerificationState::Unverified };
    let what = format!("the device of {} is {wanted:?}", person.id());
    until(&what, async || {
        (person.client.encryption().verification_state().get() == wanted).then_some(())
    })
    .await
}

async fn recovery_is(person: &Person, wanted: RecoveryState) -> Result<()> {
    let what = format!("recovery of {} is {wanted:?}", person.id());
    until(&what, async || (person.client.encryption().recovery().state() == wanted).then_some(()))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_login_makes_an_identity_and_a_backup() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let status = alice.client.encryption().cross_signing_status().await;
        assert!(status.context("a status")?.is_complete());
        is_verified(&alice, true).await?;
        let backups = alice.client.encryption().backups();
        until("the backup is on", async || (backups.state() == BackupState::Enabled).then_some(()))
            .await?;
        assert!(backups.fetch_exists_on_server().await?);
        recovery_is(&alice, RecoveryState::Disabled).await?;
        let key = alice.client.encryption().recovery().enable().await?;
        assert!(!key.is_empty());
        recovery_is(&alice, RecoveryState::Enabled).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_messages_go_both_ways() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, true).await?;
        for round in 1..=3 {
            let question = format!("question {round}");
            here.say(&question).await?;
            let seen = there.sees(&question).await?;
            assert_eq!(seen.sender(), alice.id());
            assert!(seen.encryption_info().is_some(), "it was sent in the clear");
            let answer = format!("answer {round}");
            there.say(&answer).await?;
            here.sees(&answer).await?;
        }
        let unread = |item: &&_| bodies(std::slice::from_ref(*item))[0].contains("decrypted");
        assert_eq!(here.items().await.iter().filter(unread).count(), 0);
        assert_eq!(there.items().await.iter().filter(unread).count(), 0);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_device_recovers_with_the_key_and_reads_old_messages() {
    scenario(async |server| {
        let phone = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&phone, &bob, true).await?;
        here.say("an old question").await?;
        there.say("an old answer").await?;
        here.sees("an old answer").await?;
        let recovery = phone.client.encryption().recovery();
        let key = recovery.enable().wait_for_backups_to_upload().await?;

        let laptop = Person::sign_in(server, "alice").await?;
        is_verified(&laptop, false).await?;
        recovery_is(&laptop, RecoveryState::Incomplete).await?;
        let wrong = laptop.client.encryption().recovery().recover("not the key").await;
        assert!(wrong.is_err(), "recovered with a wrong key");
        laptop.client.encryption().recovery().recover(&key).await.context("recover")?;
        is_verified(&laptop, true).await?;
        recovery_is(&laptop, RecoveryState::Enabled).await?;

        let elsewhere = laptop.open(here.room.room_id()).await?;
        elsewhere.timeline.paginate_backwards(50).await?;
        elsewhere.sees("an old question").await?;
        elsewhere.sees("an old answer").await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_device_gets_the_keys_of_new_messages() {
    scenario(async |server| {
        let phone = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&phone, &bob, true).await?;
        here.say("before the laptop").await?;
        there.sees("before the laptop").await?;
        let laptop = Person::sign_in(server, "alice").await?;
        let elsewhere = laptop.open(here.room.room_id()).await?;
        let device = laptop.client.device_id().context("a device")?;
        until("bob learns of the laptop", async || {
            let devices = bob.client.encryption();
            devices.get_device(&phone.id(), device).await.ok().flatten()
        })
        .await?;
        there.say("for all devices").await?;
        here.sees("for all devices").await?;
        elsewhere.sees("for all devices").await?;
        elsewhere.say("from the laptop").await?;
        here.sees("from the laptop").await?;
        there.sees("from the laptop").await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_later_reads_from_then_on() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let id = room(&[&alice], true).await?;
        let here = alice.open(&id).await?;
        here.say("alone").await?;
        here.room.invite_user_by_id(&bob.id()).await?;
        bob.accept(&id).await?;
        let there = bob.open(&id).await?;
        until("alice sees bob in the room", async || {
            (here.room.joined_members_count() == 2).then_some(())
        })
        .await?;
        here.say("together").await?;
        there.sees("together").await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_identity_is_made_only_with_the_password() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        alice.client.encryption().recovery().enable().await?;
        let old = identity_key(&alice).await?;
        let recovery = alice.client.encryption().recovery();
        let handle = recovery.reset_identity().await?.context("reset without the password")?;
        let matrix_sdk::encryption::CrossSigningResetAuthType::Uiaa(stages) = handle.auth_type()
        else {
            anyhow::bail!("asked for something else than the password");
        };
        handle.reset(Some(alice.password_again(stages.session.clone()))).await?;
        until("the identity is another", async || {
            identity_key(&alice).await.ok().filter(|new| *new != old)
        })
        .await?;
        is_verified(&alice, true).await
    })
    .await;
}

/// The public part of the key that all others are signed with.
pub async fn identity_key(person: &Person) -> Result<String> {
    let encryption = person.client.encryption();
    let identity = encryption.request_user_identity(&person.id()).await?.context("an identity")?;
    let key = identity.master_key().get_first_key().context("a key")?;
    Ok(key.to_base64())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_chat_is_known_as_one_on_all_devices() {
    scenario(async |server| {
        let phone = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let laptop = Person::sign_in(server, "alice").await?;
        let id = phone.client.create_dm(&bob.id()).await?.room_id().to_owned();
        bob.accept(&id).await?;
        let elsewhere = laptop.room(&id, RoomState::Joined).await?;
        until("the laptop knows whom the room is for", async || {
            (elsewhere.direct_targets_length() == 1).then_some(())
        })
        .await?;
        assert_eq!(laptop.client.get_dm_room(&bob.id()).context("the chat")?.room_id(), id);
        Ok(())
    })
    .await;
}
