//! The extension for sticky events (MSC4480).

use ruma::{
    OwnedRoomId,
    api::client::sync::sync_events::v5::{self, response},
};

use super::Pass;
use crate::{
    Sync, SyncError, SyncToken,
    sticky::{STICKY_MAX, StickyAsk, StickyNews, beside},
};

impl Sync {
    /// Sticky events of the rooms that lists or subscriptions choose, in a window or not. With
    /// `since` a client says which ones it has.
    pub(super) async fn sticky_extension(
        &self,
        pass: &Pass<'_>,
        wants: impl Fn(&OwnedRoomId) -> bool,
    ) -> Result<response::StickyEvents, SyncError> {
        let wanted = &pass.request.body.extensions.sticky_events;
        let mut answer = response::StickyEvents::default();
        if wanted.enabled != Some(true) {
            return Ok(answer);
        }
        let limit = wanted.limit.map_or(STICKY_MAX as u64, Into::into);
        let since = wanted.since.as_deref().and_then(SyncToken::parse);
        let ask = StickyAsk {
            reader: (&pass.request.user, pass.request.device.as_deref()),
            view: pass.view,
            span: &pass.span,
            news: &pass.news,
            since: since.map(|since| since.pos.min(pass.span.until)),
            limit: usize::try_from(limit).unwrap_or(STICKY_MAX).clamp(1, STICKY_MAX),
        };
        let StickyNews { rooms, cut } = self.sticky_news(ask, wants).await?;
        if rooms.is_empty() && cut.is_none() {
            return Ok(answer);
        }
        let mut upto = self.token_at(&pass.span);
        upto.pos = cut.unwrap_or(upto.pos);
        answer.next_batch = Some(upto.to_string());
        for (room, events) in rooms {
            let mut of_room = response::StickyEventsRoom::default();
            of_room.events = events;
            answer.rooms.insert(room, of_room);
        }
        Ok(answer)
    }
}

/// Leave out what the timelines of the same answer tell.
pub(super) fn tell_once(response: &mut v5::Response) {
    let rooms = &response.rooms;
    response.extensions.sticky_events.rooms.retain(|room, sticky| {
        if let Some(room) = rooms.get(room) {
            sticky.events = beside(std::mem::take(&mut sticky.events), &room.timeline);
        }
        !sticky.events.is_empty()
    });
}
