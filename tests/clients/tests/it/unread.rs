//! Unread messages: what the server counts, what the client counts.

use anyhow::Result;
use blaupause_clients::{Person, Talk, scenario, text, until};
use matrix_sdk::ruma::{
    api::client::receipt::create_receipt::v3::ReceiptType as Sent, events::Mentions,
};

use crate::rooms::talk;

/// Wait until the server's counts are these.
pub async fn server_counts(talk: &Talk, notifications: u64, highlights: u64) -> Result<()> {
    let what = format!("{notifications} notifications, {highlights} highlights");
    let found = until(&what, async || {
        let counts = talk.room.unread_notification_counts();
        (counts.notification_count == notifications && counts.highlight_count == highlights)
            .then_some(())
    });
    found.await.map_err(|error| {
        error.context(format!("the server says {:?}", talk.room.unread_notification_counts()))
    })
}

/// Wait until the client's counts are these.
async fn client_counts(talk: &Talk, messages: u64, mentions: u64) -> Result<()> {
    let what = format!("{messages} messages, {mentions} mentions");
    let found = until(&what, async || {
        (talk.room.num_unread_messages() == messages && talk.room.num_unread_mentions() == mentions)
            .then_some(())
    });
    found.await.map_err(|error| {
        error.context(format!("the client counts {:?}", talk.room.read_receipts()))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_counts_messages_and_mentions_until_they_are_read() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        // Two people: a rule of its own makes each message a notification. Three would, too.
        let (here, there) = talk(&alice, &bob, false).await?;
        here.say("one").await?;
        here.say("two").await?;
        let for_bob = text("bob?").add_mentions(Mentions::with_user_ids([bob.id()]));
        here.room.send(for_bob).await?;
        there.sees("bob?").await?;
        server_counts(&there, 3, 1).await?;
        client_counts(&there, 3, 1).await?;
        there.timeline.mark_as_read(Sent::Read).await?;
        server_counts(&there, 0, 0).await?;
        client_counts(&there, 0, 0).await?;
        here.say("three").await?;
        server_counts(&there, 1, 0).await?;
        // What one sends oneself reads everything before it.
        there.say("four").await?;
        server_counts(&there, 0, 0).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_messages_count_and_a_private_receipt_clears_them() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, true).await?;
        here.say("one").await?;
        here.say("two").await?;
        there.sees("two").await?;
        server_counts(&there, 2, 0).await?;
        client_counts(&there, 2, 0).await?;
        there.timeline.mark_as_read(Sent::ReadPrivate).await?;
        server_counts(&there, 0, 0).await?;
        client_counts(&there, 0, 0).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_marked_unread_is_so_on_all_devices() {
    scenario(async |server| {
        let phone = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&phone, &bob, false).await?;
        let laptop = Person::sign_in(server, "alice").await?;
        let elsewhere = laptop.open(here.room.room_id()).await?;
        there.say("hello").await?;
        here.sees("hello").await?;
        here.room.set_unread_flag(true).await?;
        until("the laptop sees it", async || elsewhere.room.is_marked_unread().then_some(()))
            .await?;
        until("the phone, too", async || here.room.is_marked_unread().then_some(())).await?;
        here.timeline.mark_as_read(Sent::Read).await?;
        until("the laptop sees it read", async || {
            (!elsewhere.room.is_marked_unread()).then_some(())
        })
        .await
    })
    .await;
}
