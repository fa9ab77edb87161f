//! The server dies under its clients.

use blaupause_clients::{Person, scenario, until};
use matrix_sdk_ui::sync_service::State;

use crate::rooms::talk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_go_on_after_the_server_was_killed() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, true).await?;
        here.say("before").await?;
        there.sees("before").await?;
        server.kill_and_restart().await?;
        for person in [&alice, &bob] {
            // What the app does when it comes to the foreground: not to wait for the next try.
            person.sync().start().await;
            until("the client syncs again", async || {
                matches!(person.sync().state().get(), State::Running).then_some(())
            })
            .await?;
        }
        here.say("after").await?;
        there.sees("after").await?;
        there.say("indeed").await?;
        here.sees("indeed").await?;
        Ok(())
    })
    .await;
}
