//! `GET /events`: what happens, as a stream of events (deprecated; spec: client-server API,
//! "Listen on the event stream"). With a room, also for people who are not in it.

use std::time::Duration;

use blaupause_data::{Found, Member, StreamPos, rows::UserRoom, try_together};
use blaupause_rooms::{MessagesQuery, Reader, RoomAccess, RoomsError};
use ruma::{
    OwnedRoomId, RoomId,
    api::{Direction, client::filter::RoomEventFilter},
};
use serde_json::value::RawValue;

use crate::{
    Sync, SyncError, SyncToken,
    span::{Span, View},
};

/// Events of one page.
const PAGE_EVENTS: u64 = 100;
/// Pages of one room in one answer. Who missed more is told the oldest and asks `/messages` for
/// what lies between them and the end.
const PAGES_MAX: usize = 20;

/// What happened.
#[derive(Debug)]
pub struct Events {
    pub start: String,
    /// Where to listen on.
    pub end: String,
    /// Of each room in order.
    pub chunk: Vec<Box<RawValue>>,
}

impl Sync {
    /// What happens in the rooms of a user after `from`, or from now on: as soon as something does,
    /// or nothing after the timeout.
    ///
    /// # Errors
    /// The store failed.
    pub async fn events(
        &self,
        reader: &Reader,
        from: Option<SyncToken>,
        timeout: Duration,
    ) -> Result<Events, SyncError> {
        let slot = self.notifier().connect(&reader.user);
        let from = from.unwrap_or_else(|| self.now());
        let look = || -> crate::wait::Look<'_, Events> {
            let slot = slot.clone();
            Box::pin(async move {
                let view = self.view(&slot, Some(from)).await?;
                let chunk = self.data().in_waves(self.chunk(reader, &view)).await?;
                let (start, end) = (from.to_string(), self.token_at(&view.span).to_string());
                let is_news = !chunk.is_empty();
                Ok((Events { start, end, chunk }, is_news))
            })
        };
        self.look_until_news(&slot, timeout, look).await
    }

    fn now(&self) -> SyncToken {
        SyncToken { pos: self.data().position(), boot: 0, passing: 0, sticky: None }
    }

    async fn chunk(&self, reader: &Reader, view: &View) -> Result<Vec<Box<RawValue>>, SyncError> {
        let span = view.span;
        let news = self.news(&reader.user, None, &span);
        let touched = view.rooms.iter().filter(|room| {
            let is_told = span.is_told_by(room) && !room.forgotten;
            is_told
                && match room.membership {
                    Member::Join => news.in_room(&room.room_id),
                    _ => span.is_new(room.entered_at()),
                }
        });
        let rooms = try_together(touched.map(|room| self.room_events(reader, room, span))).await?;
        Ok(rooms.into_iter().flatten().collect())
    }

    async fn room_events(
        &self,
        reader: &Reader,
        room: &Found<UserRoom>,
        span: Span,
    ) -> Result<Vec<Box<RawValue>>, SyncError> {
        if matches!(room.membership, Member::Invite | Member::Knock) || !room.was_joined {
            return Ok(self.own_member_event(room).await?.into_iter().collect());
        }
        let Some(access) = self.readable(reader, &room.room_id).await? else {
            return Ok(Vec::new());
        };
        let mut chunk = Vec::new();
        let mut from = Some(gap(span.since.unwrap_or_default()));
        for _ in 0..PAGES_MAX {
            let Some(start) = from.take() else { break };
            let to = Some(gap(span.until));
            let page = access.messages(&forward(start, to)).await?;
            from = page.end;
            chunk.extend(page.chunk);
        }
        Ok(chunk)
    }

    /// Access to a room, if the reader may read it.
    pub(crate) async fn readable(
        &self,
        reader: &Reader,
        room: &RoomId,
    ) -> Result<Option<RoomAccess>, SyncError> {
        match self.rooms().access(reader, room).await {
            Ok(access) => Ok(Some(access)),
            Err(RoomsError::NotJoined) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The event with which somebody was invited, or knocked.
    pub(crate) async fn own_member_event(
        &self,
        room: &UserRoom,
    ) -> Result<Option<Box<RawValue>>, SyncError> {
        let Some(no) = room.no else { return Ok(None) };
        let part = self.data().parts().room(&room.room_id);
        let event = self.data().event(part, no).await?;
        Ok(event.map(|event| event.client_json(Some(&room.room_id), None::<()>)))
    }

    /// As [`Self::events`], of one room that the reader need not be in. `from` may also be a token
    /// of a page of its history.
    ///
    /// # Errors
    /// The reader may not read the room, `from` is not one of ours, or the store failed.
    pub async fn peek(
        &self,
        reader: &Reader,
        room: &RoomId,
        from: Option<&str>,
        timeout: Duration,
    ) -> Result<Events, SyncError> {
        let from = from.map_or_else(|| gap(self.data().position()), ToOwned::to_owned);
        let room: OwnedRoomId = room.to_owned();
        let peek = self.notifier().peek(&room);
        let look = || -> crate::wait::Look<'_, Events> {
            let (room, start) = (room.clone(), from.clone());
            Box::pin(async move {
                let until = gap(self.data().position());
                let access = self.rooms().access(reader, &room).await?;
                let to = Some(until.clone());
                let page = access.messages(&forward(start.clone(), to)).await?;
                let is_news = !page.chunk.is_empty();
                let end = page.end.unwrap_or(until);
                Ok((Events { start, end, chunk: page.chunk }, is_news))
            })
        };
        self.until_news(peek.waiter(), timeout, look).await
    }
}

/// The token of the gap behind everything up to a position.
fn gap(pos: StreamPos) -> String {
    format!("s{}", pos.0)
}

fn forward(from: String, to: Option<String>) -> MessagesQuery {
    MessagesQuery {
        from: Some(from),
        to,
        dir: Direction::Forward,
        limit: PAGE_EVENTS,
        filter: RoomEventFilter::default(),
    }
}
