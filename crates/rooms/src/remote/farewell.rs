//! Leaves that no server in the room has heard of yet: a row each, told again until one did.

use std::{sync::Arc, time::Duration};

use blaupause_data::{DIRECTORY, Found, Member, Write, rows::UserRoom};
use futures_util::{StreamExt, stream};
use ruma::{
    OwnedRoomId, OwnedUserId, ServerName,
    api::federation::membership::create_leave_event::v2::Request,
};
use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::{handshake::Wish, step_limits};
use crate::{
    Handshake, Rooms, RoomsError,
    rows::{UntoldLeave, UntoldLeaveRow},
};

/// How long after the first attempt it is told again; each pause is four times the one before.
const PAUSE_FIRST_MS: u64 = 30_000;
const PAUSE_FACTOR: u64 = 4;
const PAUSE_MAX_MS: u64 = 24 * 60 * 60 * 1_000;
/// After so long nobody is told any more: they believe that the invitation still stands, which does
/// no harm here.
const GIVE_UP_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Rows that are looked at.
const ROWS_MAX: u32 = 10_000;
/// Leaves that are told at once.
const AT_ONCE: usize = 8;
/// How often it is looked whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// Wakes who tells them.
#[derive(Debug, Default)]
pub(crate) struct Farewells(Arc<Notify>);

/// A leave of which others have to be told.
#[derive(Clone, Debug)]
pub(super) struct Leave {
    pub room: OwnedRoomId,
    pub user: OwnedUserId,
    pub leave: UntoldLeave,
}

impl Leave {
    fn key(&self) -> (OwnedUserId, OwnedRoomId) {
        (self.user.clone(), self.room.clone())
    }

    /// Put it into a batch.
    pub(super) fn owe(&self, write: &mut Write) {
        write.put::<UntoldLeaveRow>(DIRECTORY, &self.key(), &self.leave);
    }
}

impl Rooms {
    /// A leave that these servers are told of now and, if none of them listens, later.
    pub(super) fn new_leave(
        &self,
        room: &OwnedRoomId,
        user: &OwnedUserId,
        content: &Map<String, Value>,
        servers: Vec<ruma::OwnedServerName>,
    ) -> Leave {
        let now_ms = self.data().env().now_millis();
        let leave = UntoldLeave {
            content: serde_json::to_string(content).unwrap_or_default(),
            servers,
            since_ms: now_ms,
            next_ms: now_ms + PAUSE_FIRST_MS,
            tries: 1,
        };
        Leave { room: room.clone(), user: user.clone(), leave }
    }

    /// A join that was sent and cannot be completed here is taken back.
    pub(super) fn take_back(&self, server: &ServerName, wish: &Wish<'_>) {
        let servers = vec![server.to_owned()];
        let leave = self.new_leave(wish.room, wish.user, &Map::new(), servers);
        let rooms = self.clone();
        self.data().env().spawn(async move {
            let mut write = Write::new(DIRECTORY);
            leave.owe(&mut write);
            if let Err(error) = rooms.data().commit(write).await {
                tracing::warn!(%error, room = %leave.room, "a join will not be taken back");
            }
            rooms.farewells().0.notify_one();
        });
    }

    /// Tell of leaves until the server stops.
    pub async fn run_farewells(self) {
        if !self.federation().is_on() {
            return;
        }
        let stop = self.data().env().stop().clone();
        let news = Arc::clone(&self.farewells().0);
        loop {
            let some_left = match self.tell_due_leaves().await {
                Ok(left) => left > 0,
                Err(error) => {
                    tracing::warn!(%error, "others were not told of leaves");
                    true
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = news.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY), if some_left => {}
            }
        }
    }

    /// Tell of the leaves whose time has come; how many are left.
    ///
    /// # Errors
    /// The store failed.
    pub async fn tell_due_leaves(&self) -> Result<usize, RoomsError> {
        let rows = self.data().list_all::<UntoldLeaveRow>(DIRECTORY, &(), ROWS_MAX).await?.rows;
        let now_ms = self.data().env().now_millis();
        let count = rows.len();
        let due = rows.into_iter().filter(|(_, row)| row.next_ms <= now_ms);
        let due = due.map(|((user, room), row)| Leave { user, room, leave: row.value });
        let told = stream::iter(due)
            .map(|leave| async move { self.tell_again(leave).await })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let mut gone = 0;
        for is_done in told {
            gone += usize::from(is_done?);
        }
        Ok(count - gone)
    }

    /// Whether there is nothing to tell any more.
    async fn tell_again(&self, mut leave: Leave) -> Result<bool, RoomsError> {
        let now_ms = self.data().env().now_millis();
        // They may be invited again, or in the room, meanwhile.
        let now = self.data().membership(&leave.user, &leave.room).await?;
        let is_out = |row: Found<UserRoom>| row.membership == Member::Leave;
        let is_old = now_ms > leave.leave.since_ms + GIVE_UP_MS;
        if !now.is_none_or(is_out) || is_old || self.tell_of_leave(&leave).await {
            self.forget_leave(&leave).await?;
            return Ok(true);
        }
        let UntoldLeave { tries, next_ms, .. } = &mut leave.leave;
        let pause = PAUSE_FIRST_MS.saturating_mul(PAUSE_FACTOR.saturating_pow(*tries));
        *tries = tries.saturating_add(1);
        *next_ms = self.data().env().now_millis() + pause.min(PAUSE_MAX_MS);
        let mut write = Write::new(DIRECTORY);
        leave.owe(&mut write);
        self.data().commit(write).await?;
        Ok(false)
    }

    /// Somebody was told.
    pub(super) async fn forget_leave(&self, leave: &Leave) -> Result<(), RoomsError> {
        let mut write = Write::new(DIRECTORY);
        write.del::<UntoldLeaveRow>(DIRECTORY, &leave.key());
        self.data().commit(write).await?;
        Ok(())
    }

    /// Nobody listened: again later.
    pub(super) fn tell_later(&self) {
        self.farewells().0.notify_one();
    }

    /// Tell the first server that listens; whether one did.
    pub(super) async fn tell_of_leave(&self, leave: &Leave) -> bool {
        let Leave { room, user, leave: UntoldLeave { content, servers, .. } } = leave;
        let content: Map<_, _> = serde_json::from_str(content).unwrap_or_default();
        let wish = Wish { kind: Handshake::Leave, room, user, content: &content };
        for server in servers {
            match self.tell_one(server, &wish).await {
                Ok(()) => return true,
                Err(error) => tracing::debug!(%server, %error, "a leave was not taken"),
            }
        }
        servers.is_empty()
    }

    async fn tell_one(&self, server: &ServerName, wish: &Wish<'_>) -> Result<(), RoomsError> {
        let prepared = self.prepare(server, wish).await?;
        let id = prepared.pdu.event_id().to_owned();
        let request = Request::new(wish.room.clone(), id, prepared.pdu.to_raw());
        self.federation().call_within(server, request, step_limits()).await?;
        Ok(())
    }
}
