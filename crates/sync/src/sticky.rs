//! Sticky events (MSC4354) that a client was not told of yet: in both kinds of sync, beside the
//! timelines.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use blaupause_data::{Event, Member, StreamPos};
use blaupause_rooms::StickyQuery;
use ruma::{DeviceId, OwnedEventId, OwnedRoomId, UserId, events::AnySyncTimelineEvent, serde::Raw};

use crate::{
    Sync, SyncError,
    span::{News, Span, View},
};

/// Sticky events of one answer; the others come with the next.
pub(crate) const STICKY_MAX: usize = 100;

/// Whom to tell, and what they have seen.
pub(crate) struct StickyAsk<'a> {
    pub reader: (&'a UserId, Option<&'a DeviceId>),
    pub view: &'a View,
    pub span: &'a Span,
    pub news: &'a News,
    /// Where the last answer stopped; `None`: nothing is known to the client.
    pub since: Option<StreamPos>,
    pub limit: usize,
}

/// Sticky events as the reader sees them.
#[derive(Debug, Default)]
pub(crate) struct StickyNews {
    pub rooms: BTreeMap<OwnedRoomId, Vec<Raw<AnySyncTimelineEvent>>>,
    /// Up to where they are told, if that is not the end of the answer.
    pub cut: Option<StreamPos>,
}

impl Sync {
    /// What is new in the joined rooms that `wants` chooses, the oldest first. No round trip if no
    /// room has any.
    pub(crate) async fn sticky_news(
        &self,
        ask: StickyAsk<'_>,
        wants: impl Fn(&OwnedRoomId) -> bool,
    ) -> Result<StickyNews, SyncError> {
        let span = ask.span;
        // Where the last answer stopped early, old events are news, too.
        let is_behind = ask.since.zip(span.since).is_none_or(|(since, span)| since < span);
        let rooms = ask.view.rooms.iter().filter(|room| {
            room.membership == Member::Join
                && span.is_told_by(room)
                && (is_behind || ask.news.in_room(&room.room_id) || span.is_new(room.entered_at()))
                && wants(&room.room_id)
        });
        let rooms: Vec<_> = rooms.map(|room| (room.room_id.clone(), room.entered_at())).collect();
        if rooms.is_empty() {
            return Ok(StickyNews::default());
        }
        let query = StickyQuery { rooms, since: ask.since, until: span.until, limit: ask.limit };
        let page = self.rooms().sticky_events(&query).await?;
        let mut news = StickyNews { cut: page.cut, ..StickyNews::default() };
        for (room, mut events) in page.rooms {
            events.retain(|event: &Arc<Event>| !ask.view.ignored.contains(&event.sender));
            let events = self.shape(ask.reader, &room, &events, false).await?;
            if !events.is_empty() {
                news.rooms.insert(room, events);
            }
        }
        Ok(news)
    }
}

/// The events that are not in the timeline beside them: nothing is told twice.
pub(crate) fn beside(
    mut events: Vec<Raw<AnySyncTimelineEvent>>,
    timeline: &[Raw<AnySyncTimelineEvent>],
) -> Vec<Raw<AnySyncTimelineEvent>> {
    let id = |event: &Raw<_>| event.get_field::<OwnedEventId>("event_id").ok().flatten();
    let told: HashSet<_> = timeline.iter().filter_map(id).collect();
    events.retain(|event| id(event).is_none_or(|id| !told.contains(&id)));
    events
}
