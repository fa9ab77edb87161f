//! Other servers are asked for what a room lacks, until it is whole. What has to be done is stored:
//! after a restart it goes on.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use blaupause_data::{DIRECTORY, rows::RoomServerRow};
use blaupause_graph::Pdu;
use ruma::{OwnedRoomId, OwnedServerName, RoomId, room_version_rules::RoomVersionRules};
use tokio::sync::Semaphore;

use crate::{
    Rooms, RoomsError,
    append::Appending,
    rows::{PartialRoom, PartialRoomRow},
};

/// Rooms that others are asked about at the same time.
const AT_ONCE: usize = 16;
/// Pause after the first attempt of no use, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(3);
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
/// Servers that are asked in one attempt.
const SERVERS_MAX: usize = 10;

impl Rooms {
    /// Make partial rooms whole until the server stops.
    pub async fn run_resync(self) {
        let stop = self.data().env().stop().clone();
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        if let Err(error) = self.resume_resync().await {
            tracing::error!(%error, "rooms without members are not known");
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.partial_rooms().news.notified() => {}
            }
            let work = std::mem::take(&mut *self.partial_rooms().work.lock());
            for room in work {
                let (rooms, turns) = (self.clone(), Arc::clone(&turns));
                self.data().env().spawn(async move { rooms.resync_room(&room, &turns).await });
            }
        }
    }

    /// Rooms that were not whole when the server stopped.
    async fn resume_resync(&self) -> Result<(), RoomsError> {
        for room in self.know_partial().await?.partial() {
            self.partial_rooms().ask_for(&room);
        }
        Ok(())
    }

    /// One attempt for each partial room, now; for tests, where no worker runs.
    pub async fn resync(&self) {
        if let Err(error) = self.resume_resync().await {
            tracing::error!(%error, "rooms without members are not known");
        }
        let work = std::mem::take(&mut *self.partial_rooms().work.lock());
        for room in work {
            self.resync_once(&room).await;
        }
    }

    async fn resync_room(&self, room: &OwnedRoomId, turns: &Semaphore) {
        let stop = self.data().env().stop().clone();
        let mut pause = PAUSE_MIN;
        loop {
            let attempt = async {
                let _turn = turns.acquire().await;
                self.resync_once(room).await
            };
            tokio::select! {
                () = stop.cancelled() => return,
                is_done = Box::pin(attempt) => if is_done { return },
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Whether nothing is left to be done.
    async fn resync_once(&self, room: &RoomId) -> bool {
        match Box::pin(self.try_resync(room)).await {
            Ok(is_done) => is_done,
            Err(error) => {
                tracing::warn!(%room, %error, "the state of a room cannot be completed now");
                false
            }
        }
    }

    async fn try_resync(&self, room: &RoomId) -> Result<bool, RoomsError> {
        let row = self.partial_row(room).await?.filter(|row| !row.is_whole);
        let Some(row) = row else { return Ok(true) };
        if self.abandon(room).await? {
            return Ok(true);
        }
        let rules = self.lane(room).await?.room()?.rules.clone();
        let Some(join) = self.join_of(room, &row, &rules).await? else { return Ok(true) };
        let before = join.prev_events();
        // What follows an event that was here before the join may have been judged when the members
        // were not known either: then the state is asked for where nobody else was.
        let was_here = !self.with_state(room, before).await?.is_empty();
        for server in self.who_tells(room, &row).await? {
            let told = if was_here {
                self.told_state_before(&server, room, &rules, join.event_id()).await?
            } else {
                let known = self.with_state(room, before).await?;
                for id in before.iter().filter(|id| !known.contains(*id)) {
                    self.fill_gap(&server, room, &rules, id).await?;
                }
                None
            };
            if (told.is_some() || !was_here) && self.make_whole(room, told).await? {
                Box::pin(self.close_gaps_quietly(room)).await;
                return Ok(true);
            }
            tracing::debug!(%room, %server, "a server does not tell who is in a room");
        }
        Ok(false)
    }

    /// The event with which we came.
    async fn join_of(
        &self,
        room: &RoomId,
        row: &PartialRoom,
        rules: &RoomVersionRules,
    ) -> Result<Option<Pdu>, RoomsError> {
        let part = self.data().parts().room(room);
        let join = self.data().event(part, row.join).await?;
        join.map(|join| crate::load::pdu_of(&join, rules)).transpose()
    }

    /// The server that let us in, then the others that are said to be in the room.
    async fn who_tells(
        &self,
        room: &RoomId,
        row: &PartialRoom,
    ) -> Result<Vec<OwnedServerName>, RoomsError> {
        let own = self.data().server_name();
        let mut seen = BTreeSet::new();
        let others = self.data().servers_in(room).await?;
        let all = std::iter::once(row.via.clone()).chain(row.servers.iter().cloned()).chain(others);
        let mut servers: Vec<_> = all
            .filter(|server| server != own && self.federation().permits(server).is_ok())
            .filter(|server| seen.insert(server.clone()))
            .collect();
        servers.truncate(SERVERS_MAX);
        Ok(servers)
    }

    /// Nobody of this server is in the room any more: it is as if it had never been joined, but for
    /// what those who left have seen. Whether that is so.
    async fn abandon(&self, room: &RoomId) -> Result<bool, RoomsError> {
        self.in_turn(|| Box::pin(self.try_abandon(room))).await
    }

    async fn try_abandon(&self, room: &RoomId) -> Result<bool, RoomsError> {
        let mut lane = self.lane(room).await?;
        let part = lane.room()?.part;
        let own = self.data().server_name().to_owned();
        self.everything_durable(room).await?;
        if self.data().get::<RoomServerRow>(part, &own).await?.is_some() {
            return Ok(false);
        }
        let mut batch = Appending::new(self, lane.room()?);
        batch.end_partial().await?;
        batch.head.tips.clear();
        batch.write.del::<PartialRoomRow>(DIRECTORY, &room.to_owned());
        let write = batch.finish();
        lane.commit(self.data(), write).await?;
        self.partial_rooms().forget(room);
        Ok(true)
    }

    /// A room was joined without its members: they are asked for.
    pub(crate) fn resync_soon(&self, room: &RoomId) {
        self.partial_rooms().ask_for(room);
    }
}
