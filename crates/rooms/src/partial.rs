//! Rooms that this server came into without being told who is in them (server-server API, "Joining
//! Rooms", `omit_members`; docs/decisions/0031).
//!
//! Such a room can be read and spoken in at once. What its members are is asked for meanwhile
//! ([`resync`]); until then an event is believed as far as the events that it names bear it out
//! ([`believe`]), and remembered. When the state is there all of them are judged again ([`replay`]),
//! and the room is like any other.

mod believe;
mod replay;
mod resync;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use blaupause_data::{Change, DIRECTORY, DataError, NOW, StreamPos, rows::TimelineEntry};
use blaupause_graph::{EventNo, StateRoot};
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedServerName, RoomId, ServerName, UserId};
use tokio::sync::{Notify, OnceCell};

pub(crate) use replay::ServersSaid;

use crate::{
    Rooms, RoomsError,
    append::Appending,
    rows::{PartialEventRow, PartialRoom, PartialRoomRow},
};

/// Rooms that were ever joined this way.
const ROOMS_MAX: u32 = 1_000_000;
/// How long a request waits for the members of a room.
const WAIT_MAX: Duration = Duration::from_secs(50);
/// Servers of one room that are believed to be in it because the one that let us in says so.
pub(crate) const SERVERS_MAX: usize = 10_000;
/// Number of an entry in the timeline that is no event: from there on the state is another one.
const NO_EVENT: EventNo = EventNo(u32::MAX);

/// How much is known of a room's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wholeness {
    /// All of it, always.
    Whole,
    /// All of it, since a position: up to there most members were not known.
    WholeSince(StreamPos),
    /// Most members are not known yet.
    Partial,
}

impl Wholeness {
    /// Whether all of it is known at a position.
    pub fn is_whole_at(self, pos: StreamPos) -> bool {
        match self {
            Self::Whole => true,
            Self::WholeSince(since) => since <= pos,
            Self::Partial => false,
        }
    }

    /// Where the state became whole, for who has to be told everything at once.
    pub fn since(self) -> Option<StreamPos> {
        match self {
            Self::WholeSince(pos) => Some(pos),
            Self::Whole | Self::Partial => None,
        }
    }
}

/// Rooms that are or were partial, in memory.
#[derive(Default)]
pub(crate) struct PartialRooms {
    loaded: OnceCell<()>,
    rooms: Mutex<HashMap<OwnedRoomId, Wholeness>>,
    /// Rooms whose members have to be asked for.
    work: Mutex<BTreeSet<OwnedRoomId>>,
    news: Notify,
    became_whole: Notify,
}

impl PartialRooms {
    fn get(&self, room: &RoomId) -> Wholeness {
        self.rooms.lock().get(room).copied().unwrap_or(Wholeness::Whole)
    }

    fn partial(&self) -> Vec<OwnedRoomId> {
        let rooms = self.rooms.lock();
        let partial = rooms.iter().filter(|(_, wholeness)| **wholeness == Wholeness::Partial);
        partial.map(|(room, _)| room.clone()).collect()
    }

    pub(crate) fn is_partial(&self, room: &RoomId) -> bool {
        self.get(room) == Wholeness::Partial
    }

    /// A room is about to be joined this way: known before anybody can see the room.
    pub(crate) fn begin(&self, room: &RoomId) {
        self.rooms.lock().insert(room.to_owned(), Wholeness::Partial);
    }

    /// It was not joined after all, or we are gone from it.
    pub(crate) fn forget(&self, room: &RoomId) {
        self.rooms.lock().remove(room);
        self.became_whole.notify_waiters();
    }

    fn ask_for(&self, room: &RoomId) {
        self.work.lock().insert(room.to_owned());
        self.news.notify_one();
    }

    /// What the feed says. Called before anybody can look at the position.
    pub(crate) fn note(&self, pos: StreamPos, changes: &[Change]) {
        for change in changes {
            if let Change::StateWhole { room, .. } = change {
                self.rooms.lock().insert(room.clone(), Wholeness::WholeSince(pos));
                self.became_whole.notify_waiters();
            }
        }
    }
}

impl Rooms {
    /// Know which rooms are partial; read once.
    pub(crate) async fn know_partial(&self) -> Result<&PartialRooms, DataError> {
        let partial = self.partial_rooms();
        let load = || async {
            let rows = self.data().list_all::<PartialRoomRow>(DIRECTORY, &(), ROOMS_MAX).await?;
            let mut rooms = partial.rooms.lock();
            for (room, row) in rows.rows {
                let state =
                    if row.is_whole { Wholeness::WholeSince(row.pos) } else { Wholeness::Partial };
                rooms.entry(room).or_insert(state);
            }
            Ok::<_, DataError>(())
        };
        partial.loaded.get_or_try_init(load).await?;
        Ok(partial)
    }

    /// How much is known of a room's state. From memory, but for the first time.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn wholeness(&self, room: &RoomId) -> Result<Wholeness, RoomsError> {
        Ok(self.know_partial().await?.get(room))
    }

    /// As [`Rooms::wholeness`] for whoever asks of many rooms.
    ///
    /// # Errors
    /// As there.
    pub async fn all_wholeness(
        &self,
    ) -> Result<impl Fn(&RoomId) -> Wholeness + Send + Sync + use<'_>, RoomsError> {
        let partial = self.know_partial().await?;
        Ok(|room: &RoomId| partial.get(room))
    }

    pub(crate) async fn is_partial(&self, room: &RoomId) -> Result<bool, RoomsError> {
        Ok(self.wholeness(room).await? == Wholeness::Partial)
    }

    /// Whether users of a server may be in rooms of which nobody here knows that they are.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn is_partial_with(&self, server: &ServerName) -> Result<bool, RoomsError> {
        for room in self.know_partial().await?.partial() {
            if self.data().servers_in(&room).await?.iter().any(|it| it == server) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Wait until the state of a room is known; whether that had to be waited for.
    ///
    /// # Errors
    /// [`RoomsError::StatePartial`] if it takes too long.
    pub(crate) async fn whole(&self, room: &RoomId) -> Result<bool, RoomsError> {
        let partial = self.know_partial().await?;
        if !partial.is_partial(room) {
            return Ok(false);
        }
        let whole = async {
            loop {
                let changed = partial.became_whole.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if !partial.is_partial(room) {
                    return;
                }
                changed.await;
            }
        };
        let stop = self.data().env().answer_now();
        tokio::select! {
            () = whole => Ok(true),
            () = tokio::time::sleep(WAIT_MAX) => Err(RoomsError::StatePartial),
            () = stop.cancelled() => Err(RoomsError::StatePartial),
        }
    }

    /// Somebody whose ban is known stays out, whatever other servers say meanwhile.
    pub(crate) async fn must_not_be_banned(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<(), RoomsError> {
        let row = self.data().membership(user, room).await?;
        if row.is_some_and(|row| row.membership == blaupause_data::Member::Ban) {
            return Err(RoomsError::Forbidden("you are banned from this room"));
        }
        Ok(())
    }

    /// Nobody is let into a room by a server that does not know who is in it.
    pub(crate) async fn must_be_whole_for_others(&self, room: &RoomId) -> Result<(), RoomsError> {
        if self.is_partial(room).await? { Err(RoomsError::RoomUnknown) } else { Ok(()) }
    }

    /// What is stored of a room that is or was partial.
    async fn partial_row(&self, room: &RoomId) -> Result<Option<PartialRoom>, DataError> {
        let row = self.data().get::<PartialRoomRow>(DIRECTORY, &room.to_owned()).await?;
        Ok(row.map(|row| row.value))
    }
}

impl Appending<'_> {
    pub(crate) fn is_partial(&self) -> bool {
        self.rooms.partial_rooms().is_partial(&self.head.room_id)
    }

    /// The event is to be judged again when the room's members are known.
    pub(crate) fn note_partial(&mut self, no: EventNo) {
        if self.is_partial() {
            self.write.put::<PartialEventRow>(self.part(), &(NOW, self.noted), &no);
            self.noted += 1;
        }
    }

    /// The room is joined without its members. Part of the batch of the join.
    pub(crate) async fn begin_partial(
        &mut self,
        join: EventNo,
        servers: &ServersSaid,
    ) -> Result<(), RoomsError> {
        self.end_partial().await?;
        for server in &servers.in_room {
            self.add_to_server(server, 1).await?;
        }
        let room = self.head.room_id.clone();
        let row = PartialRoom {
            is_whole: false,
            join,
            via: servers.via.clone(),
            servers: servers.in_room.clone(),
        };
        self.write.put::<PartialRoomRow>(DIRECTORY, &room, &row);
        Ok(())
    }

    /// The room is joined with all its members: an earlier join without them counts no more.
    pub(crate) async fn never_partial(&mut self) -> Result<(), RoomsError> {
        if self.end_partial().await?.is_some() {
            self.write.del::<PartialRoomRow>(DIRECTORY, &self.head.room_id.clone());
        }
        Ok(())
    }

    /// What a partial join left behind goes: the servers that were believed to be there, the
    /// events that were to be judged again.
    async fn end_partial(&mut self) -> Result<Option<PartialRoom>, RoomsError> {
        let room = self.head.room_id.clone();
        let row = self.rooms.partial_row(&room).await?.filter(|row| !row.is_whole);
        let Some(row) = row else { return Ok(None) };
        for server in &row.servers {
            self.add_to_server(server, -1).await?;
        }
        for (key, _) in self.partial_events().await? {
            self.write.del::<PartialEventRow>(self.part(), &key);
        }
        Ok(Some(row))
    }

    async fn partial_events(&self) -> Result<Vec<((StreamPos, u16), EventNo)>, DataError> {
        let data = self.rooms.data();
        let rows = data.list_all::<PartialEventRow>(self.part(), &(), u32::MAX).await?.rows;
        Ok(rows.into_iter().map(|(key, row)| (key, row.value)).collect())
    }

    /// From here on the room's state is another one, though no event says so.
    fn mark_state(&mut self, state: StateRoot) {
        let place = blaupause_data::Place::now(self.index);
        self.index += 1;
        let entry = TimelineEntry { no: NO_EVENT, state, gap: false };
        self.write.put::<blaupause_data::rows::TimelineRow>(self.part(), &place, &entry);
    }
}

/// Servers as strings, as far as they are names, each once.
pub(crate) fn servers_named(names: &[String]) -> Vec<OwnedServerName> {
    let names = names.iter().take(SERVERS_MAX);
    let servers: BTreeSet<OwnedServerName> =
        names.filter_map(|name| OwnedServerName::try_from(name.as_str()).ok()).collect();
    servers.into_iter().collect()
}
