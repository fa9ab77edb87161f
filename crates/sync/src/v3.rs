//! `GET /sync` (spec: client-server API, "Syncing").

mod joined;
mod left;
mod plan;
mod user;

use std::{collections::HashSet, sync::Arc, time::Duration};

use blaupause_data::StreamPos;
use ruma::{
    OwnedDeviceId, OwnedRoomId, OwnedUserId,
    api::client::{filter::FilterDefinition, sync::sync_events::v3},
    presence::PresenceState,
};

pub(crate) use joined::note_moves;
pub(crate) use plan::stripped;
pub use user::one_time_counts;
pub(crate) use user::unused_fallback;

use crate::{Slot, Sync, SyncError, SyncToken};

/// Longest wait for something new.
const TIMEOUT_MAX: Duration = Duration::from_secs(5 * 60);

/// What a client asks.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    pub user: OwnedUserId,
    pub device: Option<OwnedDeviceId>,
    pub since: Option<SyncToken>,
    pub filter: Arc<FilterDefinition>,
    pub full_state: bool,
    pub set_presence: PresenceState,
    pub timeout: Duration,
    pub use_state_after: bool,
}

/// What one answer covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// `None` for an initial sync.
    pub since: Option<StreamPos>,
    pub until: StreamPos,
    /// Typing that the client has seen, and that it will have seen.
    pub passing_since: u64,
    pub passing_until: u64,
}

impl Span {
    /// Whether a position is new to the client.
    pub(crate) fn is_new(&self, pos: StreamPos) -> bool {
        pos <= self.until && self.since.is_none_or(|since| pos > since)
    }
}

impl Sync {
    /// Answer when there is something new, or after the timeout, or when the server stops.
    ///
    /// # Errors
    /// The store failed.
    pub async fn v3(&self, request: SyncRequest) -> Result<v3::Response, SyncError> {
        self.accounts().presence().seen(&request.user, &request.set_presence);
        if let (Some(device), Some(since)) = (&request.device, request.since) {
            // With this position the client says that it has what came before.
            self.e2ee().acknowledge_to_device(&request.user, device, since.pos).await?;
        }
        let slot = self.notifier().connect(&request.user);
        let deadline = tokio::time::sleep(request.timeout.min(TIMEOUT_MAX));
        tokio::pin!(deadline);
        let mut waiter = slot.waiter();
        loop {
            let (response, is_empty) = self.v3_now(&request, &slot).await?;
            if !is_empty || request.since.is_none() || request.full_state {
                return Ok(response);
            }
            tokio::select! {
                biased;
                () = self.data().env().stop().cancelled() => return Ok(response),
                () = waiter.woken() => {}
                () = &mut deadline => return Ok(response),
            }
        }
    }

    /// The answer as of now, and whether it says nothing.
    async fn v3_now(
        &self,
        request: &SyncRequest,
        slot: &Arc<Slot>,
    ) -> Result<(v3::Response, bool), SyncError> {
        let mut span = self.span(request.since);
        let mut response = v3::Response::new(String::new());
        if let Some(device) = &request.device {
            self.add_to_device(request, device, &mut span, &mut response).await?;
        }
        let rooms = self.shown_rooms(slot, &request.user).await?;
        let plan = self.plan(request, &span, &rooms);
        let mut moves = plan.moves();
        self.add_joined(request, &span, &plan, &mut moves, &mut response).await?;
        self.add_left(request, &span, &plan, &mut response).await?;
        plan.add_stripped(request, &mut response);
        self.add_account_data(request, &span, &mut response).await?;
        self.add_presence(request, &span, &moves, &mut response).await?;
        if let (Some(since), Some(_)) = (span.since, &request.device) {
            let changes = self.device_list_changes(&request.user, since, span.until, moves).await?;
            response.device_lists.changed = changes.changed.into_iter().collect();
            response.device_lists.left = changes.left.into_iter().collect();
        }
        let is_empty = says_nothing(&response) && !self.key_counts_changed(request, &span);
        if let Some(device) = &request.device {
            self.add_key_counts(request, device, &mut response).await?;
        }
        let (pos, boot) = (span.until, self.passing().boot());
        response.next_batch = SyncToken { pos, boot, passing: span.passing_until }.to_string();
        Ok((response, is_empty))
    }

    pub(crate) fn span(&self, since: Option<SyncToken>) -> Span {
        let passing_until = self.passing().count();
        let until = self.data().position();
        // A token from the future is from a store that was restored to an earlier state: start
        // from what there is.
        let pos = since.map(|since| since.pos.min(until));
        let passing_since = since.map_or(0, |since| self.passing().seen(since.boot, since.passing));
        Span { since: pos, until, passing_since, passing_until }
    }

    /// Rooms in which something concerning the user happened; `None` if memory does not reach
    /// back that far and every room has to be looked at.
    pub(crate) fn touched(&self, user: &OwnedUserId, span: &Span) -> Option<HashSet<OwnedRoomId>> {
        use blaupause_data::Change;
        let recent = self.data().feed().between(span.since?, span.until)?;
        let mut rooms = HashSet::new();
        for change in recent.iter().flat_map(|(_, changes)| changes.iter()) {
            match change {
                Change::Event { room, .. } | Change::Receipt { room, .. } => {
                    rooms.insert(room.clone());
                }
                Change::AccountData { user: of, room: Some(room) }
                | Change::Unread { user: of, room }
                | Change::Membership { user: of, room, .. }
                    if of == user =>
                {
                    rooms.insert(room.clone());
                }
                _ => {}
            }
        }
        Some(rooms)
    }
}

fn says_nothing(response: &v3::Response) -> bool {
    response.rooms.is_empty()
        && response.presence.is_empty()
        && response.account_data.is_empty()
        && response.to_device.is_empty()
        && response.device_lists.is_empty()
}
