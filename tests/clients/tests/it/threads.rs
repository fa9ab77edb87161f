//! Threads.

use anyhow::Context;
use blaupause_clients::{Person, message, scenario, text, until};
use matrix_sdk::room::ListThreadsOptions;
use matrix_sdk_ui::timeline::{RoomExt as _, TimelineFocus};

use crate::rooms::talk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_has_a_summary_and_a_timeline_of_its_own() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, true).await?;
        let root = here.say("the root").await?;
        there.sees("the root").await?;
        let focus = TimelineFocus::Thread { root_event_id: root.clone() };
        let thread = there.room.timeline_builder().with_focus(focus.clone()).build().await?;
        for body in ["first reply", "second reply"] {
            thread.send(text(body).into()).await?;
            here.sees(body).await?;
        }
        here.shows("a summary with two replies", |item| {
            let summary = item.content().thread_summary();
            item.event_id() == Some(&root) && summary.is_some_and(|found| found.num_replies == 2)
        })
        .await?;

        // What a device that was not there gets from the server.
        let thread = here.room.timeline_builder().with_focus(focus).build().await?;
        until("the thread has its root and both replies", async || {
            thread.paginate_backwards(20).await.ok()?;
            let items = thread.items().await;
            let shown: Vec<_> = items
                .iter()
                .filter_map(|item| message(item.as_event()?).map(ToOwned::to_owned))
                .collect();
            (shown == ["the root", "first reply", "second reply"]).then_some(())
        })
        .await?;
        let listed = here.room.list_threads(ListThreadsOptions::default()).await?;
        let first = listed.chunk.first().context("a thread")?;
        assert_eq!(first.event_id().as_deref(), Some(&*root));
        Ok(())
    })
    .await;
}
