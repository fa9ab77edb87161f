//! One answer, put together.
//!
//! Each room is a future of its own, and so is everything else that the answer tells; they run
//! side by side, and what they read at the same time is one round trip (see
//! [`blaupause_data::Data::in_waves`]).

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use blaupause_data::try_together;
use ruma::{
    DeviceId, OwnedRoomId, OwnedUserId, UserId, api::client::sync::sync_events::v3,
    events::AnySyncTimelineEvent, serde::Raw,
};

use super::{SyncRequest, plan::room_passes};
use crate::{
    Slot, Sync, SyncError, SyncToken,
    lazy::Told,
    span::{News, Span, View},
    sticky::{STICKY_MAX, StickyAsk, StickyNews, beside},
};

/// What every part of an answer needs to know.
pub(super) struct Ask<'a> {
    pub request: &'a SyncRequest,
    pub span: Span,
    pub news: News,
    pub view: &'a View,
    /// Members that the device was told of, if it wants each only once.
    pub told: Told,
}

impl Ask<'_> {
    pub(super) fn reader(&self) -> (&UserId, Option<&DeviceId>) {
        (&self.request.user, self.request.device.as_deref())
    }

    pub(super) fn ignored(&self) -> &HashSet<OwnedUserId> {
        &self.view.ignored
    }

    /// Whether members are told only as the timeline shows them, and if so whether again and
    /// again.
    pub(super) fn lazy(&self) -> Option<bool> {
        self.request.lazy()
    }
}

impl Sync {
    /// The answer as of now, and whether it says anything.
    pub(super) async fn look_v3(
        &self,
        request: &SyncRequest,
        slot: &Arc<Slot>,
    ) -> Result<(v3::Response, bool), SyncError> {
        self.data().in_waves(Box::pin(self.look_in_waves(request, slot))).await
    }

    async fn look_in_waves(
        &self,
        request: &SyncRequest,
        slot: &Arc<Slot>,
    ) -> Result<(v3::Response, bool), SyncError> {
        let view = self.view(slot, request.since).await?;
        let (to_device, answer) = tokio::join!(
            self.to_device(&request.user, request.device.as_deref(), &view.span),
            Box::pin(self.answer(request, &view, view.span)),
        );
        let to_device = to_device?;
        let (mut response, mut is_news) = match (to_device.more, to_device.messages.last()) {
            // More messages wait than one answer takes: the whole answer ends where they end, and
            // the next one follows at once.
            (true, Some(last)) => {
                let span = Span { until: last.pos, ..view.span };
                Box::pin(self.answer(request, &view, span)).await?
            }
            _ => answer?,
        };
        is_news |= !to_device.messages.is_empty();
        response.to_device.events =
            to_device.messages.into_iter().map(|message| message.event).collect();
        Ok((response, is_news))
    }

    /// Everything but the messages to the device.
    async fn answer(
        &self,
        request: &SyncRequest,
        view: &View,
        span: Span,
    ) -> Result<(v3::Response, bool), SyncError> {
        let device = request.device.as_ref();
        let news = self.news(&request.user, request.device.as_deref(), &span);
        let wholeness = self.rooms().all_wholeness().await?;
        let mut plan = self.plan(request, &span, &news, &view.rooms, wholeness);
        Box::pin(self.add_left_later(&mut plan, request, &span, &view.rooms)).await?;
        let device_key = device.map(|device| (request.user.clone(), device.clone()));
        let mut ask = Ask { request, span, news, view, told: Told::default() };
        let lazy_key = device_key.filter(|_| ask.lazy().is_some());
        if let Some(key) = &lazy_key {
            ask.told = self.lazy().at(key, request.since);
        }
        let ask = &ask;
        let (joined, left, account_data, others, key_counts, sticky) = tokio::join!(
            try_together(plan.joined.iter().map(|room| self.joined_room(ask, room))),
            try_together(plan.left.iter().map(|room| self.left_room(ask, room))),
            self.global_account_data(request, &span, &ask.news),
            Box::pin(self.others(ask)),
            self.key_counts(request),
            Box::pin(self.sticky_of(ask)),
        );
        let mut response = v3::Response::new(String::new());
        let mut told = Vec::new();
        for (room, (joined, members)) in plan.joined.iter().zip(joined?) {
            told.extend(members);
            if let Some(joined) = joined {
                response.rooms.join.insert(room.room.clone(), joined);
            }
        }
        let sticky = sticky?;
        add_sticky(&mut response, sticky.rooms);
        let left = plan.left.iter().zip(left?);
        response.rooms.leave = left.map(|(room, left)| (room.room_id.clone(), left)).collect();
        plan.add_stripped(&mut response.rooms);
        response.account_data.events = account_data?;
        let (presence, device_lists) = others?;
        response.presence.events = presence;
        response.device_lists.changed = device_lists.changed.into_iter().collect();
        response.device_lists.left = device_lists.left.into_iter().collect();
        let is_news = !says_nothing(&response)
            || sticky.cut.is_some()
            || (span.since.is_some() && ask.news.one_time_keys());
        if let Some(counts) = key_counts? {
            response.device_one_time_keys_count = super::one_time_counts(&counts);
            response.device_unused_fallback_key_types = Some(super::unused_fallback(&counts));
        }
        let token = SyncToken { sticky: sticky.cut, ..self.token_at(&span) };
        if let Some(key) = lazy_key {
            self.lazy().note(key, request.since, token, ask.told.with(told));
        }
        response.next_batch = token.to_string();
        Ok((response, is_news))
    }
}

impl Sync {
    async fn sticky_of(&self, ask: &Ask<'_>) -> Result<StickyNews, SyncError> {
        let since = ask.request.since.and_then(|since| since.sticky).or(ask.span.since);
        let sticky = StickyAsk {
            reader: ask.reader(),
            view: ask.view,
            span: &ask.span,
            news: &ask.news,
            since: since.map(|since| since.min(ask.span.until)),
            limit: STICKY_MAX,
        };
        let filter = &ask.request.filter.room;
        self.sticky_news(sticky, |room| room_passes(filter, room)).await
    }
}

/// Sticky events go beside the timelines, whatever the filter leaves of those.
fn add_sticky(
    response: &mut v3::Response,
    rooms: BTreeMap<OwnedRoomId, Vec<Raw<AnySyncTimelineEvent>>>,
) {
    for (room, events) in rooms {
        let told = response.rooms.join.get(&room);
        let events = beside(events, told.map_or(&[], |room| &room.timeline.events));
        if !events.is_empty() {
            response.rooms.join.entry(room).or_default().sticky.events = events;
        }
    }
}

fn says_nothing(response: &v3::Response) -> bool {
    response.rooms.is_empty()
        && response.presence.is_empty()
        && response.account_data.is_empty()
        && response.device_lists.is_empty()
}
