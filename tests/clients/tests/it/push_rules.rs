//! Push rules: set on one device, known on the others, followed by the server's counts.

use anyhow::Result;
use blaupause_clients::{Person, scenario, until};
use matrix_sdk::notification_settings::RoomNotificationMode;

use crate::{rooms::talk, unread::server_counts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_muted_room_counts_nothing_and_the_other_device_knows() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let phone = Person::new(server, "bob").await?;
        let laptop = Person::sign_in(server, "bob").await?;
        let (here, there) = talk(&alice, &phone, false).await?;
        let room = here.room.room_id();
        let settings = phone.client.notification_settings().await;
        let elsewhere = laptop.client.notification_settings().await;
        settings.set_room_notification_mode(room, RoomNotificationMode::Mute).await?;
        mode_is(&elsewhere, room, Some(RoomNotificationMode::Mute)).await?;
        here.say("quiet").await?;
        there.sees("quiet").await?;
        server_counts(&there, 0, 0).await?;
        settings
            .set_room_notification_mode(room, RoomNotificationMode::MentionsAndKeywordsOnly)
            .await?;
        settings.add_keyword("cake".to_owned()).await?;
        mode_is(&elsewhere, room, Some(RoomNotificationMode::MentionsAndKeywordsOnly)).await?;
        until("the laptop knows the word", async || {
            elsewhere.enabled_keywords().await.contains("cake").then_some(())
        })
        .await?;
        here.say("still quiet").await?;
        here.say("there is cake").await?;
        server_counts(&there, 1, 0).await?;
        settings.delete_user_defined_room_rules(room).await?;
        mode_is(&elsewhere, room, None).await?;
        here.say("loud again").await?;
        // What is unread counts by the rules of now.
        server_counts(&there, 4, 0).await
    })
    .await;
}

/// Wait until a device knows of that wish for a room.
async fn mode_is(
    settings: &matrix_sdk::notification_settings::NotificationSettings,
    room: &matrix_sdk::ruma::RoomId,
    wanted: Option<RoomNotificationMode>,
) -> Result<()> {
    until(&format!("the mode is {wanted:?}"), async || {
        (settings.get_user_defined_room_notification_mode(room).await == wanted).then_some(())
    })
    .await
}
