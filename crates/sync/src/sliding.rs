//! Simplified sliding sync (MSC4186,
//! `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`).
//!
//! A connection lives in memory. If it is gone (restart, too many connections) the client gets
//! `M_UNKNOWN_POS` and starts anew, which the proposal asks clients to handle. See
//! `docs/decisions`.

mod connections;
mod direct;
mod extensions;
mod facts;
mod lists;
mod required;
mod room;
mod rooms;
mod sticky;
mod thread_subscriptions;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use blaupause_data::{Member, StreamPos};
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, UInt, api::client::sync::sync_events::v5};

pub(crate) use connections::Connections;
pub(crate) use direct::DirectCache;
pub(crate) use facts::FactsCache;
pub(crate) use required::ConfigPool;

use crate::{
    Boxed, Slot, Sync, SyncError,
    span::{News, Span, View},
    wait::Look,
};
use connections::{Connection, Known};
use required::Configs;
use rooms::ToldRooms;

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
struct Pass<'a> {
    request: &'a SlidingRequest,
    view: &'a View,
    span: Span,
    news: News,
    known: &'a Known,
    /// Rooms that the user marked as direct chats.
    direct: Arc<HashSet<OwnedRoomId>>,
}

impl Pass<'_> {
    /// The position after which things in a room are new to this connection: of a room that was
    /// out of every window for a while, more than the last span; everything, if it was never told.
    fn since_in(&self, room: &OwnedRoomId) -> Option<StreamPos> {
        let upto = self.known.upto(room);
        upto.zip(self.span.since).map(|(upto, since)| upto.min(since))
    }
}

/// An answer, and what the client knows when it has it.
type Answer = (v5::Response, Known);

impl Sync {
    /// Answer when there is something new, or after the timeout, or when the server stops.
    ///
    /// # Errors
    /// [`SyncError::UnknownPos`] if the connection is not known; or the store failed.
    pub async fn sliding(&self, request: SlidingRequest) -> Result<v5::Response, SyncError> {
        check_limits(&request.body)?;
        let connection = self.0.connections.open(&request)?;
        let _here = self.accounts().presence().waiting(&request.user, &request.body.set_presence);
        let slot = self.notifier().connect(&request.user);
        // Who starts is not kept waiting.
        let timeout = request.body.timeout.filter(|_| !connection.is_first()).unwrap_or_default();
        let look = || Box::pin(self.look_sliding(&request, &connection, &slot)) as Look<'_, Answer>;
        let (mut response, next) = self.look_until_news(&slot, timeout, look).await?;
        response.pos = self.0.connections.advance(&connection, next);
        response.txn_id.clone_from(&request.body.txn_id);
        Ok(response)
    }

    /// The answer as of now, and whether it says anything.
    async fn look_sliding(
        &self,
        request: &SlidingRequest,
        connection: &Connection,
        slot: &Arc<Slot>,
    ) -> Result<(Answer, bool), SyncError> {
        let look = Box::pin(self.look_in_waves_sliding(request, connection, slot));
        self.data().in_waves(look).await
    }

    async fn look_in_waves_sliding(
        &self,
        request: &SlidingRequest,
        connection: &Connection,
        slot: &Arc<Slot>,
    ) -> Result<(Answer, bool), SyncError> {
        let known = connection.known();
        let (view, direct) =
            tokio::join!(self.view(slot, known.token), self.direct_rooms(&request.user));
        let (view, direct) = (view?, direct?);
        let news = self.news(&request.user, request.device.as_deref(), &view.span);
        let pass = Pass { request, view: &view, span: view.span, news, known: &known, direct };
        let mut configs = Configs::new(&self.0.configs);
        if request.body.extensions.sticky_events.enabled == Some(true) {
            configs.note_listed();
        }
        let mut response = v5::Response::new(String::new());
        let lists: Boxed<'_, ()> = Box::pin(self.apply_lists(&pass, &mut configs, &mut response));
        lists.await?;
        configs.add_subscriptions(&request.body);
        let told: BTreeSet<OwnedRoomId> = pass
            .view
            .rooms
            .iter()
            .filter(|room| room.membership == Member::Join && pass.span.is_told_by(room))
            .filter(|room| configs.rooms().contains_key(&room.room_id))
            .map(|room| room.room_id.clone())
            .collect();
        let wants = |room: &OwnedRoomId| configs.wants(room);
        let rooms: Boxed<'_, ToldRooms> = Box::pin(self.told_rooms(&pass, configs.rooms()));
        let extensions: Boxed<'_, _> = Box::pin(self.extensions(&pass, &told, wants));
        let (rooms, extensions) = tokio::join!(rooms, extensions);
        let rooms = rooms?;
        response.rooms = rooms.answers;
        response.extensions = extensions?;
        sticky::tell_once(&mut response);
        let list_counts: BTreeMap<String, UInt> =
            response.lists.iter().map(|(name, list)| (name.clone(), list.count)).collect();
        let lists_changed = lists_changed(&known, &list_counts);
        let is_news = !response.rooms.is_empty() || extensions_say(&response) || lists_changed;
        let token = self.token_at(&pass.span);
        let next = known.after(token, rooms.sent, rooms.current, list_counts);
        Ok(((response, next), is_news))
    }
}

/// Whether a list has another length than when the client last heard of it.
fn lists_changed(known: &Known, counts: &BTreeMap<String, UInt>) -> bool {
    counts.iter().any(|(name, count)| known.list_counts.get(name) != Some(count))
}

/// Whether an extension has news. Key counts alone are none: they are in every answer.
fn extensions_say(response: &v5::Response) -> bool {
    let extensions = &response.extensions;
    extensions.to_device.as_ref().is_some_and(|to_device| !to_device.events.is_empty())
        || !extensions.e2ee.device_lists.is_empty()
        || !extensions.account_data.is_empty()
        || !extensions.receipts.is_empty()
        || !extensions.typing.is_empty()
        || !extensions.thread_subscriptions.is_empty()
        || !extensions.sticky_events.is_empty()
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
