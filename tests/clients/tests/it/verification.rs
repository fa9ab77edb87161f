//! Devices verified by comparing emojis.

use anyhow::{Context, Result};
use blaupause_clients::{Person, scenario, until};
use matrix_sdk::encryption::{
    backups::BackupState,
    verification::{SasVerification, VerificationRequest, VerificationRequestState},
};

use crate::{encryption::is_verified, rooms::talk};

/// Ask another person, or another device of this one; gives the request, and as the other device
/// has it.
pub async fn requested_of(
    asker: &Person,
    asked: &Person,
) -> Result<(VerificationRequest, VerificationRequest)> {
    let encryption = asker.client.encryption();
    let identity = encryption.request_user_identity(&asked.id()).await?.context("an identity")?;
    let sent = identity.request_verification().await?;
    let received = until("the other device is asked", async || {
        asked.client.encryption().get_verification_request(&asker.id(), sent.flow_id()).await
    });
    let received = received.await?;
    Ok((sent, received))
}

pub async fn compare_emojis(
    sent: &VerificationRequest,
    received: &VerificationRequest,
) -> Result<()> {
    received.accept().await?;
    until("both are ready", async || sent.is_ready().then_some(())).await?;
    let ours = sent.start_sas().await?.context("emojis")?;
    let theirs: SasVerification =
        until("the other side begins, too", async || match received.state() {
            VerificationRequestState::Transitioned { verification, .. } => verification.sas(),
            _ => None,
        })
        .await?;
    theirs.accept().await?;
    let shown = async |sas: &SasVerification| {
        let emoji = until("emojis are shown", async || sas.emoji()).await?;
        anyhow::Ok(emoji.map(|emoji| emoji.symbol))
    };
    assert_eq!(shown(&ours).await?, shown(&theirs).await?);
    ours.confirm().await?;
    theirs.confirm().await?;
    until("both are done", async || (ours.is_done() && theirs.is_done()).then_some(())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_verified_by_another_gets_the_secrets_and_reads_old_messages() {
    scenario(async |server| {
        let phone = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&phone, &bob, true).await?;
        there.say("before the laptop").await?;
        here.sees("before the laptop").await?;
        phone.client.encryption().recovery().enable().wait_for_backups_to_upload().await?;

        let laptop = Person::sign_in(server, "alice").await?;
        is_verified(&laptop, false).await?;
        let (sent, received) = requested_of(&laptop, &phone).await?;
        compare_emojis(&sent, &received).await?;
        is_verified(&laptop, true).await?;
        until("it has the private keys", async || {
            let status = laptop.client.encryption().cross_signing_status().await?;
            status.is_complete().then_some(())
        })
        .await?;
        // Its key came with the others: nobody typed in a recovery key.
        until("it uses the backup", async || {
            let state = laptop.client.encryption().backups().state();
            (state == BackupState::Enabled).then_some(())
        })
        .await?;
        let elsewhere = laptop.open(here.room.room_id()).await?;
        elsewhere.timeline.paginate_backwards(50).await?;
        elsewhere.sees("before the laptop").await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_declines_a_verification_leaves_the_device_as_it_was() {
    scenario(async |server| {
        let phone = Person::new(server, "alice").await?;
        let laptop = Person::sign_in(server, "alice").await?;
        let (sent, received) = requested_of(&laptop, &phone).await?;
        received.cancel().await?;
        until("the laptop learns of it", async || sent.is_cancelled().then_some(())).await?;
        is_verified(&laptop, false).await
    })
    .await;
}
