//! What is the user's own: account data, receipts, typing, presence, keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use blaupause_data::StreamPos;
use blaupause_e2ee::{DeviceListChanges, KeyCounts, ToDevicePage};
use ruma::{
    DeviceId, OneTimeKeyAlgorithm, OwnedUserId, UInt, UserId,
    events::{
        AnyGlobalAccountDataEvent, AnyRoomAccountDataEvent, AnySyncEphemeralRoomEvent,
        presence::PresenceEvent,
    },
    serde::Raw,
};

use super::{SyncRequest, answer::Ask, plan::Joined};
use crate::{
    Sync, SyncError,
    device_lists::OfOthers,
    filter,
    own::kind_of,
    presence::{PRESENCE_LOOKUPS_MAX, REMOTE_PRESENCE_MAX},
    span::{News, Span},
};

impl Sync {
    /// Messages that wait for the device. What came before the span the client has: it goes.
    pub(super) async fn to_device(
        &self,
        user: &UserId,
        device: Option<&DeviceId>,
        span: &Span,
    ) -> Result<ToDevicePage, SyncError> {
        let Some(device) = device else { return Ok(ToDevicePage::default()) };
        Ok(self.e2ee().take_to_device(user, device, span.since, span.until).await?)
    }

    pub(super) async fn global_account_data(
        &self,
        request: &SyncRequest,
        span: &Span,
        news: &News,
    ) -> Result<Vec<Raw<AnyGlobalAccountDataEvent>>, SyncError> {
        let mut events = self.account_data_news(&request.user, span, news).await?;
        let wanted = &request.filter.account_data;
        events.retain(|event| filter::plain_passes(wanted, &kind_of(event)));
        Ok(events)
    }

    pub(super) async fn room_account_data_of(
        &self,
        ask: &Ask<'_>,
        room: &Joined,
    ) -> Result<Vec<Raw<AnyRoomAccountDataEvent>>, SyncError> {
        let (since, until) = (since_in(ask, room), ask.span.until);
        if !ask.news.account_data_of(&room.room, since) {
            return Ok(Vec::new());
        }
        let user = &ask.request.user;
        let mut events = self.room_account_data(user, &room.room, since, until).await?;
        let wanted = &ask.request.filter.room.account_data;
        events.retain(|event| {
            filter::type_passes(&kind_of(event), wanted.types.as_deref(), &wanted.not_types)
        });
        Ok(events)
    }

    pub(super) async fn receipts(
        &self,
        ask: &Ask<'_>,
        room: &Joined,
    ) -> Result<Option<Raw<AnySyncEphemeralRoomEvent>>, SyncError> {
        let wanted = &ask.request.filter.room.ephemeral;
        let since = since_in(ask, room);
        if !filter::type_passes("m.receipt", wanted.types.as_deref(), &wanted.not_types)
            || !ask.news.receipts_in(&room.room, since)
        {
            return Ok(None);
        }
        let user = &ask.request.user;
        let event = self.receipt_event(user, &room.room, since, ask.span.until).await?;
        Ok(event.map(Raw::cast))
    }

    pub(super) fn add_typing(
        &self,
        ask: &Ask<'_>,
        room: &Joined,
        joined: &mut ruma::api::client::sync::sync_events::v3::JoinedRoom,
    ) -> Result<(), SyncError> {
        let wanted = &ask.request.filter.room.ephemeral;
        if room.is_typing
            && filter::type_passes("m.typing", wanted.types.as_deref(), &wanted.not_types)
        {
            let event = self.typing_event(ask.ignored(), &room.room);
            joined.ephemeral.events.push(event.cast());
        }
        Ok(())
    }

    /// Who is there, as far as it changed or the user just came to share a room with them, and
    /// whose devices changed.
    pub(super) async fn others(
        &self,
        ask: &Ask<'_>,
    ) -> Result<(Vec<Raw<PresenceEvent>>, DeviceListChanges), SyncError> {
        let presence = self.accounts().presence();
        let shows = presence.is_enabled()
            && filter::plain_passes(&ask.request.filter.presence, "m.presence");
        let news = async { if shows { self.presence_news(ask).await } else { Ok(Vec::new()) } };
        let (changed, others) = tokio::join!(news, Box::pin(self.device_list_news(ask)));
        let (changed, others) = (changed?, others?);
        let mut users: BTreeSet<_> = changed.into_iter().collect();
        if shows {
            users.extend(others.met);
        }
        let events = users.iter().filter_map(|user| presence.event(user));
        let events = events.filter_map(|event| Raw::new(&event).ok()).collect();
        Ok((events, others.devices))
    }

    /// Whose presence the answer tells: the user's own, and that of those they share a room with.
    async fn presence_news(&self, ask: &Ask<'_>) -> Result<Vec<OwnedUserId>, SyncError> {
        let (user, since) = (&ask.request.user, ask.span.passing_since);
        if since == 0 {
            return Box::pin(self.present(user, &ask.view.joined())).await;
        }
        let changed = self.passing().presence_since(since);
        if changed.is_empty() {
            return Ok(changed);
        }
        let rooms = ask.view.joined();
        let (mut told, mut unknown) = (Vec::new(), Vec::new());
        for other in changed {
            match self.notifier().shares(&other, &rooms) {
                _ if other == *user => told.push(other),
                Some(true) => told.push(other),
                Some(false) => {}
                None => unknown.push(other),
            }
        }
        // Those of other servers are looked up together.
        let (mut unknown, mut elsewhere): (Vec<_>, Vec<_>) =
            unknown.into_iter().partition(|other| self.data().is_local(other));
        unknown.truncate(PRESENCE_LOOKUPS_MAX);
        elsewhere.truncate(REMOTE_PRESENCE_MAX);
        unknown.append(&mut elsewhere);
        told.extend(self.who_shares_rooms(&unknown, &rooms).await?);
        Ok(told)
    }

    async fn device_list_news(&self, ask: &Ask<'_>) -> Result<OfOthers, SyncError> {
        if ask.request.device.is_none() {
            return Ok(OfOthers::default());
        }
        self.device_list_changes(&ask.request.user, &ask.view.rooms, &ask.news, &ask.span).await
    }

    pub(super) async fn key_counts(
        &self,
        request: &SyncRequest,
    ) -> Result<Option<Arc<KeyCounts>>, SyncError> {
        let Some(device) = &request.device else { return Ok(None) };
        Ok(Some(self.e2ee().key_counts(&request.user, device).await?))
    }
}

/// The position after which things in a room are new to the client.
fn since_in(ask: &Ask<'_>, room: &Joined) -> Option<StreamPos> {
    ask.span.since.filter(|_| !room.is_new)
}

/// Counts as answers give them: an algorithm that ran out is named with 0.
pub fn one_time_counts(counts: &KeyCounts) -> BTreeMap<OneTimeKeyAlgorithm, UInt> {
    let mut answer: BTreeMap<_, _> = counts
        .one_time
        .iter()
        .map(|(algorithm, count)| {
            (OneTimeKeyAlgorithm::from(algorithm.as_str()), UInt::new_saturating(*count))
        })
        .collect();
    // Clients take a missing entry for "unknown", not for none.
    answer.entry(OneTimeKeyAlgorithm::SignedCurve25519).or_default();
    answer
}

/// Algorithms with an unused fallback key.
pub(crate) fn unused_fallback(counts: &KeyCounts) -> Vec<OneTimeKeyAlgorithm> {
    counts.unused_fallback.iter().map(|name| OneTimeKeyAlgorithm::from(name.as_str())).collect()
}
