//! Strangers that others told us of: their events are not taken, but that they are in a room is not
//! forgotten.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use blaupause_data::{DataError, Write};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, ServerName};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::MemberContent;
use crate::{
    Rooms,
    rows::{ToldStranger, ToldStrangerRow},
};

/// Rooms whose strangers are in memory.
const CACHED_ROOMS_MAX: NonZeroUsize = NonZeroUsize::new(5_000).expect("not zero");
/// Strangers of one room that are noted: one is enough to make it silent, and as long as one of so
/// many stays it is.
const NOTED_MAX: u32 = 1_000;

type Noted = Arc<BTreeMap<OwnedUserId, ToldStranger>>;

/// Strangers of recently asked rooms.
pub(crate) struct ToldStrangers {
    cached: Mutex<LruCache<OwnedRoomId, Noted>>,
    /// One after the other, so that none is lost.
    turn: tokio::sync::Mutex<()>,
}

impl Default for ToldStrangers {
    fn default() -> Self {
        let cached = Mutex::new(LruCache::new(CACHED_ROOMS_MAX));
        Self { cached, turn: tokio::sync::Mutex::default() }
    }
}

/// A member event, as far as anybody may say so of another: nobody has checked its signature.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: String,
    sender: OwnedUserId,
    state_key: OwnedUserId,
    depth: u64,
    content: MemberContent,
}

impl Rooms {
    /// Strangers that the room's state does not know of.
    pub(super) async fn told_strangers(&self, room: &RoomId) -> Result<Noted, DataError> {
        if let Some(noted) = self.strangers().cached.lock().get(room) {
            return Ok(Arc::clone(noted));
        }
        let part = self.data().parts().room(room);
        let rows = self.data().list_all::<ToldStrangerRow>(part, &(), NOTED_MAX).await?.rows;
        let noted: Noted =
            Arc::new(rows.into_iter().map(|(user, row)| (user, row.value)).collect());
        self.strangers().cached.lock().put(room.to_owned(), Arc::clone(&noted));
        Ok(noted)
    }

    /// A server of ours that is in the room passes on events: note which strangers come and go.
    /// Nothing else of their events is taken where they are not heard.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub(crate) async fn note_strangers(
        &self,
        origin: &ServerName,
        room: &RoomId,
        events: &[Box<RawValue>],
    ) -> Result<(), DataError> {
        if self.federation().servers().may_speak_mixed() {
            return Ok(());
        }
        let told = self.told_in(events);
        if told.is_empty() || !self.is_in(origin, room).await? {
            return Ok(());
        }
        let _turn = self.strangers().turn.lock().await;
        let mut noted = (*self.told_strangers(room).await?).clone();
        let before = noted.clone();
        for event in told {
            let is_joined = event.content.membership.as_deref() == Some("join");
            let is_known = noted.get(&event.sender);
            let is_late = is_known.is_some_and(|known| known.depth > event.depth);
            // Who leaves and was never noted is nobody; what is too much changes nothing.
            let is_nothing =
                is_known.is_none() && (!is_joined || noted.len() >= NOTED_MAX as usize);
            if !is_late && !is_nothing {
                noted.insert(event.sender, ToldStranger { depth: event.depth, is_joined });
            }
        }
        if noted == before {
            return Ok(());
        }
        let part = self.data().parts().room(room);
        let mut write = Write::new(part);
        for (user, stranger) in noted.iter().filter(|(user, now)| before.get(*user) != Some(*now)) {
            write.put::<ToldStrangerRow>(part, user, stranger);
            if stranger.is_joined {
                let server = user.server_name();
                tracing::warn!(%room, %server, %origin, "a server that is not allowed is in a room");
            }
        }
        self.data().commit(write).await?;
        self.strangers().cached.lock().put(room.to_owned(), Arc::new(noted));
        Ok(())
    }

    /// As [`Rooms::note_strangers`], where nobody could do anything about a store that fails.
    pub(crate) async fn look_for_strangers(
        &self,
        origin: &ServerName,
        room: &RoomId,
        events: &[Box<RawValue>],
    ) {
        if let Err(error) = self.note_strangers(origin, room, events).await {
            tracing::warn!(%room, %error, "strangers in a room cannot be noted");
        }
    }

    /// What the events say of strangers.
    fn told_in(&self, events: &[Box<RawValue>]) -> Vec<Told> {
        let told = events.iter().filter_map(|event| serde_json::from_str::<Told>(event.get()).ok());
        told.filter(|told| told.kind == "m.room.member" && told.sender == told.state_key)
            .filter(|told| self.federation().permits(told.sender.server_name()).is_err())
            .collect()
    }

    /// Whether somebody of a server is joined to a room.
    async fn is_in(&self, server: &ServerName, room: &RoomId) -> Result<bool, DataError> {
        Ok(self.data().servers_in(room).await?.iter().any(|known| known == server))
    }
}
