//! What only the two ends can read, with a server behind each end.

use std::time::Duration;

use anyhow::{Context, Result};
use blaupause_clients::{Person, Talk, between, until};
use matrix_sdk::RoomState;
use matrix_sdk_ui::timeline::EventTimelineItem;
use tokio::time;

use super::{members, talk};
use crate::{
    encryption::is_verified,
    verification::{compare_emojis, requested_of},
};

/// How often a connection for keys turns where the library waits for it.
const TURN: Duration = Duration::from_millis(500);

/// Wait until somebody knows this device of another.
pub async fn knows(somebody: &Person, of: &Person) -> Result<()> {
    let device = of.client.device_id().context("a device")?;
    let what = format!("{} learns of {device} of {}", somebody.id(), of.id());
    let encryption = somebody.client.encryption();
    until(&what, async || encryption.get_device(&of.id(), device).await.ok().flatten())
        .await
        .map(drop)
}

/// The key that a message was encrypted with.
fn session(item: &EventTimelineItem) -> Option<String> {
    item.encryption_info()?.session_id().map(ToOwned::to_owned)
}

async fn says(from: &Talk, to: &[&Talk], text: &str) -> Result<Option<String>> {
    from.say(text).await?;
    let mut key = None;
    for talk in to {
        let seen = talk.sees(text).await?;
        key = session(&seen);
        assert!(key.is_some(), "{text:?} was sent in the clear");
    }
    Ok(key)
}

/// Wait until somebody knows another as verified.
async fn trusts(somebody: &Person, other: &Person) -> Result<()> {
    let what = format!("{} trusts {}", somebody.id(), other.id());
    let encryption = somebody.client.encryption();
    until(&what, async || {
        let identity = encryption.get_user_identity(&other.id()).await;
        identity.ok()??.is_verified().then_some(())
    })
    .await
}

/// Wait for something that goes through a room and needs the connections for keys, too.
async fn turning(people: [&Person; 2], what: impl Future<Output = Result<()>>) -> Result<()> {
    let turns = async {
        loop {
            for person in people {
                person.turn().await?;
            }
            time::sleep(TURN).await;
        }
    };
    tokio::select! {
        done = what => done,
        failed = turns => failed,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/interop starts the two servers"]
async fn encrypted_messages_go_both_ways_and_reach_new_devices_of_both() {
    between(async |pair| {
        let (alice, bob) = pair.people().await?;
        let (here, there) = talk(&alice, &bob).await?;
        for round in 1..=2 {
            says(&here, &[&there], &format!("question {round}")).await?;
            says(&there, &[&here], &format!("answer {round}")).await?;
        }
        let id = here.room.room_id();
        let his_laptop = Person::sign_in(&pair.away, &pair.called("bob")).await?;
        let at_his_desk = his_laptop.open(id).await?;
        knows(&alice, &his_laptop).await?;
        says(&here, &[&there, &at_his_desk], "for all devices of bob").await?;
        let her_laptop = Person::sign_in(&pair.home, &pair.called("alice")).await?;
        let at_her_desk = her_laptop.open(id).await?;
        knows(&bob, &her_laptop).await?;
        knows(&his_laptop, &her_laptop).await?;
        says(&there, &[&here, &at_her_desk], "for all devices of alice").await?;
        says(&at_his_desk, &[&at_her_desk], "from desk to desk").await?;
        says(&at_her_desk, &[&at_his_desk, &there], "and back").await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/interop starts the two servers"]
async fn a_new_device_of_either_recovers_what_was_said() {
    between(async |pair| {
        let (alice, bob) = pair.people().await?;
        let (here, there) = talk(&alice, &bob).await?;
        says(&here, &[&there], "an old question").await?;
        says(&there, &[&here], "an old answer").await?;
        let keys = [
            alice.client.encryption().recovery().enable().wait_for_backups_to_upload().await?,
            bob.client.encryption().recovery().enable().wait_for_backups_to_upload().await?,
        ];
        let laptops = [
            Person::sign_in(&pair.home, &pair.called("alice")).await?,
            Person::sign_in(&pair.away, &pair.called("bob")).await?,
        ];
        for (laptop, key) in laptops.iter().zip(keys) {
            laptop.client.encryption().recovery().recover(&key).await.context("recover")?;
            is_verified(laptop, true).await?;
            let desk = laptop.open(here.room.room_id()).await?;
            desk.timeline.paginate_backwards(50).await?;
            desk.sees("an old question").await?;
            desk.sees("an old answer").await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/interop starts the two servers"]
async fn people_of_two_servers_verify_each_other() {
    between(async |pair| {
        let (alice, bob) = pair.people().await?;
        // The request goes into the room that the two have for themselves.
        let id = alice.client.create_dm(&bob.id()).await?.room_id().to_owned();
        bob.accept(&id).await?;
        let (here, there) = (alice.open(&id).await?, bob.open(&id).await?);
        for talk in [&here, &there] {
            members(talk, 2).await?;
        }
        // The library looks up the devices of people whom it writes to.
        says(&here, &[&there], "hello").await?;
        says(&there, &[&here], "hello to you").await?;
        knows(&alice, &bob).await?;
        knows(&bob, &alice).await?;
        let (sent, received) = requested_of(&alice, &bob).await?;
        let verified = async {
            compare_emojis(&sent, &received).await?;
            trusts(&alice, &bob).await?;
            trusts(&bob, &alice).await
        };
        turning([&alice, &bob], verified).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/interop starts the two servers"]
async fn who_has_left_does_not_get_the_keys_of_what_follows() {
    between(async |pair| {
        let (alice, bob) = pair.people().await?;
        let carol = Person::new(&pair.away, &pair.called("carol")).await?;
        let (here, there) = talk(&alice, &bob).await?;
        let id = here.room.room_id();
        here.room.invite_user_by_id(&carol.id()).await?;
        carol.accept(id).await?;
        let with_carol = carol.open(id).await?;
        for talk in [&here, &there, &with_carol] {
            members(talk, 3).await?;
        }
        let before = says(&here, &[&there, &with_carol], "for three").await?;
        let again = says(&here, &[&there, &with_carol], "with the same key").await?;
        assert_eq!(before, again);
        with_carol.room.leave().await?;
        carol.room(id, RoomState::Left).await?;
        members(&here, 2).await?;
        members(&there, 2).await?;
        let after = says(&here, &[&there], "for two").await?;
        assert_ne!(before, after, "carol has the key");
        Ok(())
    })
    .await;
}
