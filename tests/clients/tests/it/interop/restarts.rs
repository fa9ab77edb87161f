//! A server goes away in the middle of it, and comes back. Alone: every other test would notice.

use anyhow::Result;
use blaupause_clients::{Person, Talk, between, until};
use matrix_sdk_ui::sync_service::State;

use super::talk;

/// What the app does when it comes to the foreground: not to wait for the next try.
async fn wakes(person: &Person) -> Result<()> {
    until("the client syncs again", async || {
        person.sync().start().await;
        matches!(person.sync().state().get(), State::Running).then_some(())
    })
    .await
}

async fn chat(here: &Talk, there: &Talk, what: &str) -> Result<()> {
    let (question, answer) = (format!("{what}?"), format!("{what}!"));
    here.say(&question).await?;
    there.sees(&question).await?;
    there.say(&answer).await?;
    here.sees(&answer).await.map(drop)
}

/// Messages, and keys that nobody had, wait for a server that is down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/interop starts the two servers"]
async fn what_is_said_while_a_server_is_down_is_read_when_it_is_back() {
    between(async |pair| {
        let (alice, bob) = pair.people().await?;
        let (here, there) = talk(&alice, &bob).await?;
        chat(&here, &there, "before").await?;
        for (server, from, to, reader) in
            [(&pair.away, &here, &there, &bob), (&pair.home, &there, &here, &alice)]
        {
            server.stop().await?;
            let text = format!("while {} is down", reader.id());
            // The next message has a new key, which goes to the devices of both.
            from.room.discard_room_key().await?;
            from.say(&text).await?;
            server.start().await?;
            wakes(reader).await?;
            let read = to.sees(&text).await?;
            assert!(read.encryption_info().is_some(), "it was sent in the clear");
        }
        chat(&here, &there, "after").await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/interop starts the two servers"]
async fn a_conversation_goes_on_after_either_server_was_killed() {
    between(async |pair| {
        let (alice, bob) = pair.people().await?;
        let (here, there) = talk(&alice, &bob).await?;
        chat(&here, &there, "before").await?;
        for (server, person) in [(&pair.home, &alice), (&pair.away, &bob)] {
            server.kill().await?;
            server.start().await?;
            wakes(person).await?;
            chat(&here, &there, &format!("after {} was killed", person.id())).await?;
            chat(&there, &here, &format!("and {} answers", person.id())).await?;
        }
        Ok(())
    })
    .await;
}
