//! The five extensions: to-device, encryption, account data, receipts, typing.

use std::collections::{BTreeMap, BTreeSet};

use blaupause_data::{Change, Found, Member, rows::UserRoom};
use blaupause_e2ee::ToDevicePage;
use ruma::{
    OwnedRoomId,
    api::client::sync::sync_events::v5::{self, request::ExtensionRoomConfig, response},
};

use super::{Pass, SlidingRequest, required::RoomConfig};
use crate::{Sync, SyncError, SyncToken, device_lists::RoomMoves, v3::Span};

impl Sync {
    /// The token that stands for the end of a span.
    pub(crate) fn token_at(&self, span: &Span) -> SyncToken {
        SyncToken { pos: span.until, boot: self.passing().boot(), passing: span.passing_until }
    }

    /// With `since` a client says which to-device messages it has.
    pub(super) async fn acknowledge(&self, request: &SlidingRequest) -> Result<(), SyncError> {
        let since = request.body.extensions.to_device.since.as_deref();
        if let (Some(device), Some(since)) = (&request.device, since.and_then(SyncToken::parse)) {
            self.e2ee().acknowledge_to_device(&request.user, device, since.pos).await?;
        }
        Ok(())
    }

    /// Waiting to-device messages. If more wait than one answer takes, the whole answer ends
    /// where they end.
    pub(super) async fn to_device_extension(
        &self,
        request: &SlidingRequest,
        span: &mut Span,
    ) -> Result<Option<ToDevicePage>, SyncError> {
        let wanted = &request.body.extensions.to_device;
        let (Some(true), Some(device)) = (wanted.enabled, &request.device) else {
            return Ok(None);
        };
        let since = wanted.since.as_deref().and_then(SyncToken::parse);
        let since = since.map(|since| since.pos).unwrap_or_default();
        let page = self.e2ee().to_device(&request.user, device, since, span.until).await?;
        Ok(Some(page))
    }

    pub(super) async fn add_extensions(
        &self,
        pass: &Pass<'_>,
        rooms: &[Found<UserRoom>],
        configs: &BTreeMap<OwnedRoomId, RoomConfig>,
        moves: RoomMoves,
        to_device: Option<ToDevicePage>,
        response: &mut v5::Response,
    ) -> Result<(), SyncError> {
        let wanted = &pass.request.body.extensions;
        if let Some(page) = to_device {
            let mut upto = self.token_at(&pass.span);
            if let (true, Some(last)) = (page.more, page.messages.last()) {
                upto.pos = last.pos;
            }
            let mut answer = response::ToDevice::default();
            answer.next_batch = upto.to_string();
            answer.events = page.messages.into_iter().map(|message| message.event).collect();
            response.extensions.to_device = Some(answer);
        }
        if wanted.e2ee.enabled == Some(true) {
            self.add_e2ee(pass, moves, response).await?;
        }
        let joined: BTreeSet<OwnedRoomId> = rooms
            .iter()
            .filter(|room| room.membership == Member::Join && room.pos <= pass.span.until)
            .map(|room| room.room_id.clone())
            .collect();
        let told: BTreeSet<OwnedRoomId> =
            configs.keys().filter(|room| joined.contains(*room)).cloned().collect();
        if wanted.account_data.enabled == Some(true) {
            let rooms = scope(wanted.account_data.rooms.as_deref(), &told);
            self.add_sliding_account_data(pass, &rooms, response).await?;
        }
        if wanted.receipts.enabled == Some(true) {
            let rooms = scope(wanted.receipts.rooms.as_deref(), &told);
            self.add_sliding_receipts(pass, &rooms, response).await?;
        }
        if wanted.typing.enabled == Some(true) {
            let rooms = scope(wanted.typing.rooms.as_deref(), &told);
            self.add_sliding_typing(pass, &rooms, response).await?;
        }
        Ok(())
    }

    async fn add_e2ee(
        &self,
        pass: &Pass<'_>,
        moves: RoomMoves,
        response: &mut v5::Response,
    ) -> Result<(), SyncError> {
        let (user, Some(device)) = (&pass.request.user, &pass.request.device) else {
            return Ok(());
        };
        let counts = self.e2ee().key_counts(user, device).await?;
        let answer = &mut response.extensions.e2ee;
        answer.device_one_time_keys_count = crate::v3::one_time_counts(&counts);
        answer.device_unused_fallback_key_types = Some(crate::v3::unused_fallback(&counts));
        if let Some(since) = pass.span.since {
            let changes = self.device_list_changes(user, since, pass.span.until, moves).await?;
            answer.device_lists.changed = changes.changed.into_iter().collect();
            answer.device_lists.left = changes.left.into_iter().collect();
        }
        Ok(())
    }

    async fn add_sliding_account_data(
        &self,
        pass: &Pass<'_>,
        rooms: &BTreeSet<OwnedRoomId>,
        response: &mut v5::Response,
    ) -> Result<(), SyncError> {
        let user = &pass.request.user;
        let answer = &mut response.extensions.account_data;
        answer.global = self.global_account_data(user, &pass.span).await?;
        for room in rooms {
            let span = self.room_span(pass, room);
            let events = self.room_account_data(user, room, &span).await?;
            if !events.is_empty() {
                answer.rooms.insert(room.clone(), events);
            }
        }
        Ok(())
    }

    async fn add_sliding_receipts(
        &self,
        pass: &Pass<'_>,
        rooms: &BTreeSet<OwnedRoomId>,
        response: &mut v5::Response,
    ) -> Result<(), SyncError> {
        for room in rooms {
            let span = self.room_span(pass, room);
            if let Some(event) = self.receipt_event(&pass.request.user, room, &span).await? {
                response.extensions.receipts.rooms.insert(room.clone(), event);
            }
        }
        Ok(())
    }

    async fn add_sliding_typing(
        &self,
        pass: &Pass<'_>,
        rooms: &BTreeSet<OwnedRoomId>,
        response: &mut v5::Response,
    ) -> Result<(), SyncError> {
        let ids = rooms.iter().map(|room| &**room);
        for room in self.passing().typing_since(pass.span.passing_since, ids) {
            let event = self.typing_event(&pass.request.user, &room).await?;
            response.extensions.typing.rooms.insert(room, event);
        }
        Ok(())
    }

    /// What is new to this connection in one room: everything, if it was never told.
    fn room_span(&self, pass: &Pass<'_>, room: &OwnedRoomId) -> Span {
        // Of a room that was out of every window for a while, more than the last span.
        let since = pass.known.rooms.get(room).map(|sent| sent.upto);
        Span { since: since.zip(pass.span.since).map(|(upto, since)| upto.min(since)), ..pass.span }
    }

    /// Whether the user's own counts in a room may have changed without an event.
    pub(super) fn own_counts_changed(&self, pass: &Pass<'_>, room: &OwnedRoomId) -> bool {
        let Some(since) = pass.span.since else { return false };
        let Some(recent) = self.data().feed().between(since, pass.span.until) else {
            return true;
        };
        recent.iter().flat_map(|(_, changes)| changes.iter()).any(|change| match change {
            Change::Receipt { room: at, user } | Change::Unread { room: at, user } => {
                at == room && *user == pass.request.user
            }
            _ => false,
        })
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
