//! `GET /rooms/{roomId}/initialSync`: state and newest messages at once (deprecated).

use ruma::api::{Direction, client::filter::RoomEventFilter};
use serde_json::value::RawValue;

use super::{Messages, MessagesQuery, RoomAccess};
use crate::RoomsError;

/// Messages that are given (the specification leaves it to the server).
const MESSAGES: u64 = 20;

/// A room at a glance.
#[derive(Debug)]
pub struct InitialSync {
    /// Oldest first.
    pub messages: Messages,
    pub state: Vec<Box<RawValue>>,
}

impl RoomAccess {
    /// State and newest messages.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn initial_sync(&self) -> Result<InitialSync, RoomsError> {
        self.initial_sync_with(MESSAGES).await
    }

    /// As [`Self::initial_sync`], with so many messages (cut to 1…100).
    ///
    /// # Errors
    /// As [`Self::initial_sync`].
    pub async fn initial_sync_with(&self, limit: u64) -> Result<InitialSync, RoomsError> {
        let query = MessagesQuery {
            from: None,
            to: None,
            dir: Direction::Backward,
            limit,
            filter: RoomEventFilter::default(),
        };
        let mut messages = self.messages(&query).await?;
        messages.chunk.reverse();
        Ok(InitialSync { messages, state: self.full_state().await? })
    }
}
