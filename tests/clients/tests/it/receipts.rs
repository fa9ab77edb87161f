//! Who has read what, who is typing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use blaupause_clients::{PATIENCE, Person, Talk, scenario, until};
use matrix_sdk::ruma::{
    EventId, OwnedUserId, UserId,
    api::client::receipt::create_receipt::v3::ReceiptType as Sent,
    events::{
        receipt::{ReceiptThread, ReceiptType},
        relation::Thread,
        room::message::Relation,
    },
};
use tokio::{sync::broadcast, time};

use crate::rooms::talk;

/// Wait until a device knows that a user's receipt stands on this event.
async fn knows(
    talk: &Talk,
    kind: ReceiptType,
    thread: ReceiptThread,
    user: &UserId,
    event: &EventId,
) -> Result<()> {
    let what = format!("a receipt {kind} {thread:?} of {user} on {event}");
    until(&what, async || {
        let found = talk.room.load_user_receipt(kind.clone(), thread.clone(), user).await;
        (found.ok()??.0 == event).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_sees_a_public_receipt() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, true).await?;
        here.say("one").await?;
        let two = here.say("two").await?;
        there.sees("two").await?;
        there.timeline.mark_as_read(Sent::Read).await?;
        knows(&here, ReceiptType::Read, ReceiptThread::Unthreaded, &bob.id(), &two).await?;
        here.shows("bob's receipt under the message", |item| {
            item.event_id() == Some(&two) && item.read_receipts().contains_key(&bob.id())
        })
        .await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_receipt_reaches_only_ones_own_devices() {
    scenario(async |server| {
        let phone = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&phone, &bob, false).await?;
        let laptop = Person::sign_in(server, "alice").await?;
        let elsewhere = laptop.open(here.room.room_id()).await?;
        let private = there.say("read privately").await?;
        let public = there.say("read publicly").await?;
        here.sees("read publicly").await?;
        let (unthreaded, alice) = (ReceiptThread::Unthreaded, phone.id());
        let send = async |kind, event| {
            here.room.send_single_receipt(kind, ReceiptThread::Unthreaded, event).await
        };
        send(Sent::ReadPrivate, private.clone()).await?;
        knows(&elsewhere, ReceiptType::ReadPrivate, unthreaded.clone(), &alice, &private).await?;
        // The public one comes after it, so if bob knows that one, he was not told of the other.
        send(Sent::Read, public.clone()).await?;
        knows(&there, ReceiptType::Read, unthreaded.clone(), &alice, &public).await?;
        let leaked =
            there.room.load_user_receipt(ReceiptType::ReadPrivate, unthreaded, &alice).await?;
        ensure!(leaked.is_none(), "bob was told: {leaked:?}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_has_receipts_of_its_own() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, false).await?;
        let root = here.say("the root").await?;
        let mut reply = blaupause_clients::text("in the thread");
        reply.relates_to = Some(Relation::Thread(Thread::plain(root.clone(), root.clone())));
        let reply = here.room.send(reply).await?.response.event_id;
        let main = here.say("in the room").await?;
        there.sees("in the room").await?;
        let in_thread = ReceiptThread::Thread(root.clone());
        let send = async |thread: &ReceiptThread, event: &EventId| {
            there.room.send_single_receipt(Sent::Read, thread.clone(), event.to_owned()).await
        };
        send(&in_thread, &reply).await?;
        send(&ReceiptThread::Main, &main).await?;
        knows(&here, ReceiptType::Read, in_thread.clone(), &bob.id(), &reply).await?;
        knows(&here, ReceiptType::Read, ReceiptThread::Main, &bob.id(), &main).await?;
        // The one in the room did not replace the one in the thread.
        knows(&here, ReceiptType::Read, in_thread, &bob.id(), &reply).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_read_marker_is_the_same_on_all_devices() {
    scenario(async |server| {
        let phone = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&phone, &bob, false).await?;
        let laptop = Person::sign_in(server, "alice").await?;
        let elsewhere = laptop.open(here.room.room_id()).await?;
        let event = there.say("up to here").await?;
        here.sees("up to here").await?;
        let receipts = matrix_sdk::room::Receipts::new()
            .fully_read_marker(event.clone())
            .public_read_receipt(event.clone());
        here.room.send_multiple_receipts(receipts).await?;
        until("the laptop has the marker", async || {
            elsewhere.room.fully_read_event_id().filter(|marked| *marked == event)
        })
        .await?;
        let thread = ReceiptThread::Unthreaded;
        knows(&there, ReceiptType::Read, thread, &phone.id(), &event).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_types_is_shown_until_they_stop() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, false).await?;
        let (_guard, mut typing) = here.room.subscribe_to_typing_notifications();
        there.room.typing_notice(true).await?;
        types(&mut typing, &[bob.id()], PATIENCE).await?;
        there.room.typing_notice(false).await?;
        // Sooner than the library's own time-out of 4 seconds would end it on a fast machine; the
        // server has to say it in any case.
        types(&mut typing, &[], PATIENCE).await
    })
    .await;
}

/// Wait until exactly these users type.
async fn types(
    typing: &mut broadcast::Receiver<Vec<OwnedUserId>>,
    wanted: &[OwnedUserId],
    patience: Duration,
) -> Result<()> {
    time::timeout(patience, async {
        loop {
            if typing.recv().await? == wanted {
                return Ok(());
            }
        }
    })
    .await
    .with_context(|| format!("waited in vain for {wanted:?} typing"))?
}
