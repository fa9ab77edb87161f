//! A room that a person has open: its timeline, and what it shows.

use anyhow::{Context, Result};
use matrix_sdk::{
    Room,
    ruma::{OwnedEventId, events::room::message::RoomMessageEventContent},
};
use matrix_sdk_ui::timeline::{EventTimelineItem, RoomExt as _, Timeline, TimelineEventItemId};

use crate::until;

/// One person's view of one room.
#[derive(Debug)]
pub struct Talk {
    pub room: Room,
    pub timeline: Timeline,
}

impl Talk {
    pub(crate) async fn new(room: Room) -> Result<Self> {
        let timeline = room.timeline().await?;
        Ok(Self { room, timeline })
    }

    /// Send a text and wait until it came back from the server; gives its id.
    ///
    /// # Errors
    /// If it does not come back.
    pub async fn say(&self, body: &str) -> Result<OwnedEventId> {
        self.timeline.send(text(body).into()).await?;
        self.sees(body).await?.event_id().map(ToOwned::to_owned).context("an id")
    }

    /// Wait for a text that the server sent.
    ///
    /// # Errors
    /// If it does not appear.
    pub async fn sees(&self, body: &str) -> Result<EventTimelineItem> {
        self.shows(&format!("the text {body:?}"), |item| message(item) == Some(body)).await
    }

    /// Wait for an item that the server sent and that is as wanted.
    ///
    /// # Errors
    /// If there is none; the message says what the timeline shows instead.
    pub async fn shows(
        &self,
        what: &str,
        wanted: impl Fn(&EventTimelineItem) -> bool,
    ) -> Result<EventTimelineItem> {
        let what = format!("{} sees {what}", self.room.own_user_id());
        let found = until(&what, async || {
            self.items().await.into_iter().find(|item| !item.is_local_echo() && wanted(item))
        });
        match found.await {
            Ok(item) => Ok(item),
            Err(error) => {
                Err(error.context(format!("the timeline shows {:?}", bodies(&self.items().await))))
            }
        }
    }

    /// Everything that is shown, oldest first.
    pub async fn items(&self) -> Vec<EventTimelineItem> {
        let items = self.timeline.items().await;
        items.iter().filter_map(|item| item.as_event().cloned()).collect()
    }
}

/// A plain text message.
pub fn text(body: &str) -> RoomMessageEventContent {
    RoomMessageEventContent::text_plain(body)
}

/// The text of an item that is a message.
pub fn message(item: &EventTimelineItem) -> Option<&str> {
    item.content().as_message().map(|message| message.body())
}

/// What each item shows, in short.
pub fn bodies(items: &[EventTimelineItem]) -> Vec<String> {
    let body = |item: &EventTimelineItem| match message(item) {
        Some(body) => body.to_owned(),
        None if item.content().is_redacted() => "(redacted)".to_owned(),
        None if item.content().is_unable_to_decrypt() => "(cannot be decrypted)".to_owned(),
        None => "(no message)".to_owned(),
    };
    items.iter().map(body).collect()
}

/// How the timeline's methods name an event that the server has.
pub fn item_of(event: &OwnedEventId) -> TimelineEventItemId {
    TimelineEventItemId::EventId(event.clone())
}
