//! The extensions: to-device, encryption, account data, receipts, typing, thread subscriptions, sticky
//! events.

use std::collections::BTreeSet;

use blaupause_data::try_together;
use blaupause_e2ee::ToDevicePage;
use ruma::{
    OwnedRoomId,
    api::client::sync::sync_events::v5::{request::ExtensionRoomConfig, response},
    events::{AnyRoomAccountDataEvent, receipt::SyncReceiptEvent},
    serde::Raw,
};

use super::Pass;
use crate::{Sync, SyncError, SyncToken};

type OfRooms<T> = std::collections::BTreeMap<OwnedRoomId, T>;

impl Sync {
    /// All extensions. `told`: the joined rooms that the answer speaks of; `wants`: whether a room
    /// is in a list, be it outside of its windows.
    pub(super) async fn extensions(
        &self,
        pass: &Pass<'_>,
        told: &BTreeSet<OwnedRoomId>,
        wants: impl Fn(&OwnedRoomId) -> bool,
    ) -> Result<response::Extensions, SyncError> {
        let wanted = &pass.request.body.extensions;
        let mut answer = response::Extensions::default();
        let (to_device, e2ee, account_data, receipts, threads, sticky) = tokio::join!(
            self.to_device_extension(pass),
            self.e2ee_extension(pass),
            self.account_data_extension(pass, told),
            self.receipts_extension(pass, told),
            self.thread_subscriptions_extension(pass),
            Box::pin(self.sticky_extension(pass, wants)),
        );
        answer.to_device = to_device?;
        answer.e2ee = e2ee?;
        answer.account_data = account_data?;
        answer.receipts.rooms = receipts?;
        answer.thread_subscriptions = threads?;
        answer.sticky_events = sticky?;
        if wanted.typing.enabled == Some(true) {
            let rooms = scope(wanted.typing.rooms.as_deref(), told);
            let rooms = rooms.iter().map(|room| &**room);
            for room in self.passing().typing_since(pass.span.passing_since, rooms) {
                let event = self.typing_event(&pass.view.ignored, &room);
                answer.typing.rooms.insert(room, event);
            }
        }
        Ok(answer)
    }

    /// Waiting to-device messages. With `since` a client says which ones it has.
    async fn to_device_extension(
        &self,
        pass: &Pass<'_>,
    ) -> Result<Option<response::ToDevice>, SyncError> {
        let wanted = &pass.request.body.extensions.to_device;
        let (Some(true), Some(device)) = (wanted.enabled, &pass.request.device) else {
            return Ok(None);
        };
        let since = wanted.since.as_deref().and_then(SyncToken::parse).map(|since| since.pos);
        let (user, until) = (&pass.request.user, pass.span.until);
        let page: ToDevicePage = self.e2ee().take_to_device(user, device, since, until).await?;
        let mut upto = self.token_at(&pass.span);
        if let (true, Some(last)) = (page.more, page.messages.last()) {
            // More wait than one answer takes.
            upto.pos = last.pos;
        }
        let mut answer = response::ToDevice::default();
        answer.next_batch = upto.to_string();
        answer.events = page.messages.into_iter().map(|message| message.event).collect();
        Ok(Some(answer))
    }

    async fn e2ee_extension(&self, pass: &Pass<'_>) -> Result<response::E2EE, SyncError> {
        let mut answer = response::E2EE::default();
        let (user, Some(device)) = (&pass.request.user, &pass.request.device) else {
            return Ok(answer);
        };
        if pass.request.body.extensions.e2ee.enabled != Some(true) {
            return Ok(answer);
        }
        let (counts, changes) = tokio::join!(
            self.e2ee().key_counts(user, device),
            self.device_list_changes(user, &pass.view.rooms, &pass.news, &pass.span),
        );
        let (counts, changes) = (counts?, changes?.devices);
        answer.device_one_time_keys_count = crate::v3::one_time_counts(&counts);
        answer.device_unused_fallback_key_types = Some(crate::v3::unused_fallback(&counts));
        answer.device_lists.changed = changes.changed.into_iter().collect();
        answer.device_lists.left = changes.left.into_iter().collect();
        Ok(answer)
    }

    async fn account_data_extension(
        &self,
        pass: &Pass<'_>,
        told: &BTreeSet<OwnedRoomId>,
    ) -> Result<response::AccountData, SyncError> {
        let wanted = &pass.request.body.extensions.account_data;
        let mut answer = response::AccountData::default();
        if wanted.enabled != Some(true) {
            return Ok(answer);
        }
        let user = &pass.request.user;
        let rooms = scope(wanted.rooms.as_deref(), told);
        let (global, of_rooms) = tokio::join!(
            self.account_data_news(user, &pass.span, &pass.news),
            try_together(rooms.into_iter().map(|room| self.account_data_in(pass, room))),
        );
        answer.global = global?;
        let of_rooms: OfRooms<Vec<Raw<AnyRoomAccountDataEvent>>> =
            of_rooms?.into_iter().filter(|(_, events)| !events.is_empty()).collect();
        answer.rooms = of_rooms;
        Ok(answer)
    }

    async fn receipts_extension(
        &self,
        pass: &Pass<'_>,
        told: &BTreeSet<OwnedRoomId>,
    ) -> Result<OfRooms<Raw<SyncReceiptEvent>>, SyncError> {
        let wanted = &pass.request.body.extensions.receipts;
        if wanted.enabled != Some(true) {
            return Ok(OfRooms::new());
        }
        let rooms = scope(wanted.rooms.as_deref(), told);
        let found = try_together(rooms.into_iter().map(|room| self.receipts_in(pass, room)));
        Ok(found.await?.into_iter().flatten().collect())
    }

    async fn account_data_in(
        &self,
        pass: &Pass<'_>,
        room: OwnedRoomId,
    ) -> Result<(OwnedRoomId, Vec<Raw<AnyRoomAccountDataEvent>>), SyncError> {
        let since = pass.since_in(&room);
        if !pass.news.account_data_of(&room, since) {
            return Ok((room, Vec::new()));
        }
        let (user, until) = (&pass.request.user, pass.span.until);
        let events = self.room_account_data(user, &room, since, until).await?;
        Ok((room, events))
    }

    async fn receipts_in(
        &self,
        pass: &Pass<'_>,
        room: OwnedRoomId,
    ) -> Result<Option<(OwnedRoomId, Raw<SyncReceiptEvent>)>, SyncError> {
        let since = pass.since_in(&room);
        if !pass.news.receipts_in(&room, since) {
            return Ok(None);
        }
        let (user, until) = (&pass.request.user, pass.span.until);
        let event = self.receipt_event(user, &room, since, until).await?;
        Ok(event.map(|event| (room, event)))
    }
}

/// The rooms that an extension speaks of: all that the connection shows, or those named.
fn scope(
    wanted: Option<&[ExtensionRoomConfig]>,
    told: &BTreeSet<OwnedRoomId>,
) -> BTreeSet<OwnedRoomId> {
    let Some(wanted) = wanted else { return told.clone() };
    if wanted.iter().any(|room| matches!(room, ExtensionRoomConfig::AllSubscribed)) {
        return told.clone();
    }
    told.iter()
        .filter(|id| {
            wanted.iter().any(|room| matches!(room, ExtensionRoomConfig::Room(room) if room == *id))
        })
        .cloned()
        .collect()
}
