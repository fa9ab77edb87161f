//! Simplified sliding sync (MSC4186,
//! `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`).
//!
//! A connection lives in memory. If it is gone (restart, too many connections) the client gets
//! `M_UNKNOWN_POS` and starts anew, which the proposal asks clients to handle. See
//! `docs/decisions`.

mod connections;
mod extensions;
mod facts;
mod lists;
mod required;
mod room;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, api::client::sync::sync_events::v5};

pub(crate) use connections::Connections;
pub(crate) use facts::FactsCache;

use crate::{Slot, Sync, SyncError, v3::Span};
use connections::{Connection, Known};
use required::RoomConfig;

/// Longest wait for something new.
const TIMEOUT_MAX: Duration = Duration::from_secs(5 * 60);
/// Lists of one request.
const LISTS_MAX: usize = 100;
/// Room subscriptions of one request.
const SUBSCRIPTIONS_MAX: usize = 1_000;
/// Entries of one `required_state`.
const REQUIRED_STATE_MAX: usize = 1_000;

/// What a client asks.
#[derive(Clone, Debug)]
pub struct SlidingRequest {
    pub user: OwnedUserId,
    pub device: Option<OwnedDeviceId>,
    pub body: v5::Request,
}

/// One pass over everything a request asks for.
pub(crate) struct Pass<'a> {
    pub request: &'a SlidingRequest,
    pub span: Span,
    pub known: Arc<Known>,
}

impl Sync {
    /// Answer when there is something new, or after the timeout, or when the server stops.
    ///
    /// # Errors
    /// [`SyncError::UnknownPos`] if the connection is not known; or the store failed.
    pub async fn sliding(&self, request: SlidingRequest) -> Result<v5::Response, SyncError> {
        check_limits(&request.body)?;
        self.accounts().presence().seen(&request.user, &request.body.set_presence);
        let connection = self.0.connections.open(&request)?;
        // One request at a time: a newer one of the same connection waits for the older to see
        // that nobody reads its answer any more.
        let timeout = request.body.timeout.unwrap_or_default().min(TIMEOUT_MAX);
        let deadline = tokio::time::sleep(timeout);
        tokio::pin!(deadline);
        let slot = self.notifier().connect(&request.user);
        let mut waiter = slot.waiter();
        self.acknowledge(&request).await?;
        loop {
            let (mut response, next, is_empty) =
                self.sliding_now(&request, &connection, &slot).await?;
            let is_first = connection.is_first();
            if !is_empty || is_first {
                return Ok(self.finish(&request, &connection, next, response));
            }
            let stop = self.data().env().stop();
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = waiter.woken() => continue,
                () = &mut deadline => {}
            }
            response.rooms.clear();
            return Ok(self.finish(&request, &connection, next, response));
        }
    }

    fn finish(
        &self,
        request: &SlidingRequest,
        connection: &Connection,
        next: Known,
        mut response: v5::Response,
    ) -> v5::Response {
        response.pos = self.0.connections.advance(connection, next);
        response.txn_id.clone_from(&request.body.txn_id);
        response
    }

    async fn sliding_now(
        &self,
        request: &SlidingRequest,
        connection: &Connection,
        slot: &Arc<Slot>,
    ) -> Result<(v5::Response, Known, bool), SyncError> {
        let known = connection.known();
        let mut span = self.span(known.token);
        let mut response = v5::Response::new(String::new());
        let to_device = self.to_device_extension(request, &mut span).await?;
        let pass = Pass { request, span, known: Arc::clone(&known) };
        let rooms = self.shown_rooms(slot, &request.user).await?;
        let mut configs: BTreeMap<OwnedRoomId, RoomConfig> = BTreeMap::new();
        self.apply_lists(&pass, &rooms, &mut configs, &mut response).await?;
        apply_subscriptions(&request.body, &mut configs);
        let mut next = (*known).clone();
        next.token = Some(self.token_at(&span));
        let moves = self.add_rooms(&pass, &rooms, &configs, &mut next, &mut response).await?;
        self.add_extensions(&pass, &rooms, &configs, moves, to_device, &mut response).await?;
        let counts_changed = lists_changed(&known, &response);
        next.list_counts =
            response.lists.iter().map(|(name, list)| (name.clone(), list.count)).collect();
        let is_empty = response.rooms.is_empty() && !extensions_say(&response) && !counts_changed;
        Ok((response, next, is_empty))
    }
}

/// Whether a list has another length than when the client last heard of it.
fn lists_changed(known: &Known, response: &v5::Response) -> bool {
    response.lists.iter().any(|(name, list)| known.list_counts.get(name) != Some(&list.count))
}

/// Whether an extension has news. Key counts alone are none: they are in every answer.
fn extensions_say(response: &v5::Response) -> bool {
    let extensions = &response.extensions;
    extensions.to_device.as_ref().is_some_and(|to_device| !to_device.events.is_empty())
        || !extensions.e2ee.device_lists.is_empty()
        || !extensions.account_data.is_empty()
        || !extensions.receipts.is_empty()
        || !extensions.typing.is_empty()
}

fn check_limits(body: &v5::Request) -> Result<(), SyncError> {
    let required = body
        .lists
        .values()
        .map(|list| list.room_details.required_state.len())
        .chain(body.room_subscriptions.values().map(|room| room.required_state.len()));
    if body.lists.len() > LISTS_MAX
        || body.room_subscriptions.len() > SUBSCRIPTIONS_MAX
        || required.max().is_some_and(|most| most > REQUIRED_STATE_MAX)
    {
        return Err(SyncError::Invalid("too many lists, subscriptions or required state"));
    }
    Ok(())
}

fn apply_subscriptions(body: &v5::Request, configs: &mut BTreeMap<OwnedRoomId, RoomConfig>) {
    for (room, wanted) in &body.room_subscriptions {
        configs
            .entry(room.clone())
            .or_default()
            .add(&wanted.required_state, wanted.timeline_limit.into());
    }
}
