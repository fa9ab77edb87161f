//! From the log to debts: events of this server, for the other servers in their rooms.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use blaupause_data::{Change, DataError, Event, StreamPos};
use ruma::{
    OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, events::room::member::MembershipState,
};
use serde::Deserialize;

use super::{STORE_PAUSE, owe::NewDebts, rows::OwedEvent};
use crate::Federation;

/// Name of the cursor.
const FOLLOWER: &str = "federation-out";
/// Lines of the log that are read at once.
const LINES_MAX: u32 = 1_000;

impl Federation {
    /// A follower that never ran begins now.
    pub(super) async fn begin_following(&self) -> Result<(), DataError> {
        if self.data().cursor(FOLLOWER).await? == StreamPos(0) {
            self.data().store_cursor(FOLLOWER, self.data().position()).await?;
        }
        Ok(())
    }

    /// Follow the log until the server stops.
    pub(super) async fn run_follower(&self) {
        let stop = self.data().env().stop().clone();
        let news = Arc::clone(&self.sender().news);
        loop {
            let again = async {
                if let Err(error) = self.owe_events().await {
                    tracing::warn!(%error, "what other servers are owed cannot be noted");
                    tokio::time::sleep(STORE_PAUSE).await;
                    return;
                }
                news.notified().await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = again => {}
            }
        }
    }

    /// Note what the log says is owed, up to its end. After a crash some of it is done again,
    /// which changes nothing.
    ///
    /// # Errors
    /// The store failed.
    pub async fn owe_events(&self) -> Result<(), DataError> {
        let stored = self.data().cursor(FOLLOWER).await?;
        let mut cursor = stored.max(StreamPos(self.sender().followed.load(Ordering::SeqCst)));
        let mut owed = false;
        loop {
            let lines = self.data().log_after(cursor, LINES_MAX).await?;
            let Some((last, _)) = lines.last() else { break };
            cursor = *last;
            let debts = self.debts_of(&lines).await?;
            if !debts.is_empty() {
                self.owe_all(debts).await?;
                owed = true;
            }
        }
        self.sender().followed.store(cursor.0, Ordering::SeqCst);
        // Where nothing was owed the stored cursor may lag behind: after a start, looking again at
        // so little costs less than a batch each time.
        if cursor != stored && (owed || cursor.0 >= stored.0 + u64::from(LINES_MAX)) {
            self.data().store_cursor(FOLLOWER, cursor).await?;
        }
        Ok(())
    }

    /// One read for the events, and one for each room whose servers are not in memory.
    async fn debts_of(&self, lines: &[(StreamPos, Change)]) -> Result<NewDebts, DataError> {
        let mut wanted = Vec::new();
        for (_, change) in lines {
            let Change::Event { room, no } = change else { continue };
            wanted.push((room, *no));
        }
        let mut debts = NewDebts::new();
        if wanted.is_empty() {
            return Ok(debts);
        }
        let parts = self.data().parts();
        let keys: Vec<_> = wanted.iter().map(|(room, no)| (parts.room(room), *no)).collect();
        let events = self.data().events(&keys).await?;
        for ((room, no), event) in wanted.into_iter().zip(events) {
            let Some(event) = event.filter(|event| self.data().is_local(&event.sender)) else {
                continue;
            };
            let Some(place) = event.place else { continue };
            for server in self.audience(room, &event).await? {
                let of_room: (OwnedServerName, OwnedRoomId) = (server, room.clone());
                debts.entry(of_room).or_default().push(OwedEvent { place, no });
            }
        }
        Ok(debts)
    }

    /// Which servers an event of ours goes to.
    async fn audience(
        &self,
        room: &RoomId,
        event: &Event,
    ) -> Result<BTreeSet<OwnedServerName>, DataError> {
        let mut servers: BTreeSet<_> = self.data().servers_in(room).await?.into_iter().collect();
        // Whoever is removed must hear of it, even if nobody else of that server is left.
        servers.extend(removed(event).map(|user| user.server_name().to_owned()));
        servers.retain(|server| self.may_be_owed(server));
        Ok(servers)
    }
}

/// Whom a member event removes.
fn removed(event: &Event) -> Option<OwnedUserId> {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    if event.kind != "m.room.member" {
        return None;
    }
    let content = event.content_as::<Content>()?;
    let is_out = matches!(content.membership, MembershipState::Leave | MembershipState::Ban);
    event.state_key.as_deref().filter(|_| is_out)?.try_into().ok()
}
