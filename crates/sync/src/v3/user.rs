//! What is the user's own: to-device messages, account data, receipts, typing, presence, keys.

use std::collections::BTreeMap;

use blaupause_accounts::{AccountDatum, Scope};
use blaupause_data::Change;
use blaupause_e2ee::KeyCounts;
use ruma::{
    DeviceId, OneTimeKeyAlgorithm, OwnedDeviceId, OwnedRoomId, OwnedUserId, UInt,
    api::client::sync::sync_events::v3,
    events::{
        AnyGlobalAccountDataEvent, AnyRoomAccountDataEvent, receipt::SyncReceiptEvent,
        typing::SyncTypingEvent,
    },
    serde::Raw,
};
use serde_json::json;

use super::{Span, SyncRequest, plan::Joined};
use crate::{Sync, SyncError, device_lists::RoomMoves, filter};

impl Sync {
    /// Waiting messages. If more wait than one answer takes, the whole answer ends where they
    /// end: the next one follows at once.
    pub(super) async fn add_to_device(
        &self,
        request: &SyncRequest,
        device: &OwnedDeviceId,
        span: &mut Span,
        response: &mut v3::Response,
    ) -> Result<(), SyncError> {
        let since = span.since.unwrap_or_default();
        let page = self.e2ee().to_device(&request.user, device, since, span.until).await?;
        if let (true, Some(last)) = (page.more, page.messages.last()) {
            span.until = last.pos;
        }
        response.to_device.events =
            page.messages.into_iter().map(|message| message.event).collect();
        Ok(())
    }

    pub(super) async fn add_account_data(
        &self,
        request: &SyncRequest,
        span: &Span,
        response: &mut v3::Response,
    ) -> Result<(), SyncError> {
        let events = self.global_account_data(&request.user, span).await?;
        let passes = |event: &Raw<AnyGlobalAccountDataEvent>| {
            let kind = event.get_field::<String>("type").ok().flatten().unwrap_or_default();
            filter::plain_passes(&request.filter.account_data, &kind)
        };
        response.account_data.events = events.into_iter().filter(passes).collect();
        Ok(())
    }

    /// Global account data that is new to the client. A client that starts is told the push rules
    /// even if it never changed them.
    pub(crate) async fn global_account_data(
        &self,
        user: &OwnedUserId,
        span: &Span,
    ) -> Result<Vec<Raw<AnyGlobalAccountDataEvent>>, SyncError> {
        if !self.own_data_touched(user, span) {
            return Ok(Vec::new());
        }
        let stored = self.accounts().account_data_since(user, Scope::Global, span.since).await?;
        let has_rules = stored.iter().any(|data| data.kind == "m.push_rules");
        let within = stored.iter().filter(|data| data.pos <= span.until);
        let mut events: Vec<_> = within.map(AccountDatum::global_event).collect();
        if span.since.is_none() && !has_rules {
            let global = self.notify().ruleset(user).await?;
            let event = json!({ "type": "m.push_rules", "content": { "global": global } });
            events.extend(serde_json::from_value(event).ok());
        }
        Ok(events)
    }

    /// Whether global account data can have changed.
    fn own_data_touched(&self, user: &OwnedUserId, span: &Span) -> bool {
        let Some(since) = span.since else { return true };
        let Some(recent) = self.data().feed().between(since, span.until) else { return true };
        recent.iter().flat_map(|(_, changes)| changes.iter()).any(
            |change| matches!(change, Change::AccountData { user: of, room: None } if of == user),
        )
    }

    /// Account data of a room that is new to the client.
    pub(crate) async fn room_account_data(
        &self,
        user: &OwnedUserId,
        room: &OwnedRoomId,
        span: &Span,
    ) -> Result<Vec<Raw<AnyRoomAccountDataEvent>>, SyncError> {
        if !self.touched_by(span, |change| {
            matches!(change, Change::AccountData { user: of, room: Some(at) }
                if of == user && at == room)
        }) {
            return Ok(Vec::new());
        }
        let scope = Scope::Room(room);
        let stored = self.accounts().account_data_since(user, scope, span.since).await?;
        let within = stored.iter().filter(|data| data.pos <= span.until);
        Ok(within.map(AccountDatum::room_event).collect())
    }

    pub(super) async fn add_room_account_data(
        &self,
        request: &SyncRequest,
        span: &Span,
        room: &Joined,
        joined: &mut v3::JoinedRoom,
    ) -> Result<(), SyncError> {
        let span = Span { since: span.since.filter(|_| !room.is_new), ..*span };
        let wanted = &request.filter.room.account_data;
        let events = self.room_account_data(&request.user, &room.room, &span).await?;
        joined.account_data.events = events
            .into_iter()
            .filter(|event| {
                let kind = event.get_field::<String>("type").ok().flatten().unwrap_or_default();
                filter::type_passes(&kind, wanted.types.as_deref(), &wanted.not_types)
            })
            .collect();
        Ok(())
    }

    /// Receipts of a room that are new to the client, as one event.
    pub(crate) async fn receipt_event(
        &self,
        user: &OwnedUserId,
        room: &OwnedRoomId,
        span: &Span,
    ) -> Result<Option<Raw<SyncReceiptEvent>>, SyncError> {
        if !self.touched_by(
            span,
            |change| matches!(change, Change::Receipt { room: at, .. } if at == room),
        ) {
            return Ok(None);
        }
        let since = span.since.unwrap_or_default();
        let content = self.rooms().receipts_since(user, room, since, span.until).await?;
        Ok(content.and_then(|content| {
            serde_json::from_value(json!({ "type": "m.receipt", "content": content })).ok()
        }))
    }

    pub(super) async fn add_receipts(
        &self,
        request: &SyncRequest,
        span: &Span,
        room: &Joined,
        joined: &mut v3::JoinedRoom,
    ) -> Result<(), SyncError> {
        let wanted = &request.filter.room.ephemeral;
        if !filter::type_passes("m.receipt", wanted.types.as_deref(), &wanted.not_types) {
            return Ok(());
        }
        let span = Span { since: span.since.filter(|_| !room.is_new), ..*span };
        if let Some(event) = self.receipt_event(&request.user, &room.room, &span).await? {
            joined.ephemeral.events.push(event.cast());
        }
        Ok(())
    }

    /// Who types in a room now.
    pub(crate) async fn typing_event(
        &self,
        user: &OwnedUserId,
        room: &OwnedRoomId,
    ) -> Result<Raw<SyncTypingEvent>, SyncError> {
        let ignored = self.accounts().ignored_users(user).await?;
        let mut typing = self.rooms().typing(room);
        typing.retain(|typing| !ignored.contains(typing));
        let event = json!({ "type": "m.typing", "content": { "user_ids": typing } });
        Ok(serde_json::from_value(event).expect("a JSON value is a raw value"))
    }

    pub(super) async fn add_typing(
        &self,
        request: &SyncRequest,
        span: &Span,
        room: &Joined,
        joined: &mut v3::JoinedRoom,
    ) -> Result<(), SyncError> {
        let wanted = &request.filter.room.ephemeral;
        if !filter::type_passes("m.typing", wanted.types.as_deref(), &wanted.not_types) {
            return Ok(());
        }
        let at = std::iter::once(&*room.room);
        if !self.passing().typing_since(span.passing_since, at).is_empty() {
            let event = self.typing_event(&request.user, &room.room).await?;
            joined.ephemeral.events.push(event.cast());
        }
        Ok(())
    }

    pub(super) async fn add_presence(
        &self,
        request: &SyncRequest,
        span: &Span,
        moves: &RoomMoves,
        response: &mut v3::Response,
    ) -> Result<(), SyncError> {
        if !self.accounts().presence().is_enabled() {
            return Ok(());
        }
        let changed = self.passing().presence_since(span.passing_since);
        let sharing = self.who_shares_rooms(&changed, &moves.joined).await?;
        for user in changed {
            if (user != request.user && !sharing.contains(&user))
                || !filter::plain_passes(&request.filter.presence, "m.presence")
            {
                continue;
            }
            if let Some(event) = self.accounts().presence().event(&user) {
                response.presence.events.extend(Raw::new(&event).ok());
            }
        }
        Ok(())
    }

    pub(super) async fn add_key_counts(
        &self,
        request: &SyncRequest,
        device: &DeviceId,
        response: &mut v3::Response,
    ) -> Result<(), SyncError> {
        let counts = self.e2ee().key_counts(&request.user, device).await?;
        response.device_one_time_keys_count = one_time_counts(&counts);
        response.device_unused_fallback_key_types = Some(unused_fallback(&counts));
        Ok(())
    }

    /// Counts are in every answer, so only a change of them is news.
    pub(super) fn key_counts_changed(&self, request: &SyncRequest, span: &Span) -> bool {
        let Some(device) = &request.device else { return false };
        span.since.is_some()
            && self.touched_by(span, |change| {
                matches!(change, Change::OneTimeKeys { user, device: of }
                    if *user == request.user && of == device)
            })
    }

    /// Whether a change of a kind lies in the span; yes, if memory does not reach back that far.
    fn touched_by(&self, span: &Span, is_it: impl Fn(&Change) -> bool) -> bool {
        let Some(since) = span.since else { return true };
        let Some(recent) = self.data().feed().between(since, span.until) else { return true };
        recent.iter().flat_map(|(_, changes)| changes.iter()).any(is_it)
    }
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
