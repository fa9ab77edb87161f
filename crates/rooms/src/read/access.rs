//! The check that stands before every read.

use std::{fmt, sync::Arc};

use blaupause_data::{
    Event, Found, Member, Part, Place, ReadSet,
    rows::{HeadRow, RoomHead, UserRoom, UserRoomRow},
    try_together,
};
use blaupause_graph::{EventNo, StateRoot};
use ruma::{OwnedRoomId, RoomId, events::room::history_visibility::HistoryVisibility};

use super::{
    Reader,
    visibility::{JoinedUntil, membership_in, sight_names},
};
use crate::{Rooms, RoomsError};

/// Changes of a reader's membership that are followed back to find when they were last joined.
/// Beyond that (banned and unbanned over and over) their history is closed to them.
const MEMBERSHIP_STEPS_MAX: usize = 16;

/// Somebody who may read a room, and how far. Only [`Rooms::access`] makes one.
#[derive(Clone)]
pub struct RoomAccess {
    pub(crate) rooms: Rooms,
    pub(crate) reader: Reader,
    pub(crate) room: OwnedRoomId,
    pub(crate) part: Part,
    pub(crate) head: RoomHead,
    membership: Option<Member>,
    reach: Reach,
}

/// How far somebody may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Up to now.
    Now,
    /// Up to (and with) the event with which they left.
    Left { at: Place, state: StateRoot },
}

impl Rooms {
    /// Whether somebody may read a room: who is joined; who was, up to when they left; an invited
    /// person or anybody, if the room's history visibility says so.
    ///
    /// # Errors
    /// [`RoomsError::NotJoined`] if not; rooms that do not exist look the same.
    pub async fn access(&self, reader: &Reader, room: &RoomId) -> Result<RoomAccess, RoomsError> {
        let mut found = self.accesses(reader, &[room.to_owned()]).await?;
        found.pop().ok_or(RoomsError::NotJoined)
    }

    /// As [`Rooms::access`] for many rooms: those that may be read, in the order asked. One round
    /// trip for the rooms that the reader is joined to, a few more if there are others.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn accesses(
        &self,
        reader: &Reader,
        rooms: &[OwnedRoomId],
    ) -> Result<Vec<RoomAccess>, RoomsError> {
        let data = self.data();
        let user = data.parts().user(&reader.user);
        let parts: Vec<_> = rooms.iter().map(|room| data.parts().room(room)).collect();
        let mut want = ReadSet::new();
        let slots: Vec<_> = parts
            .iter()
            .map(|part| (want.get::<HeadRow>(*part, &()), want.get::<UserRoomRow>(user, part)))
            .collect();
        let names = parts.iter().flat_map(|part| sight_names(*part, &reader.user));
        let names = self.key_numbers().ask(&mut want, names);
        let got = want.run(data).await?;
        self.key_numbers().answer(names, &got)?;
        let mut known = Vec::new();
        for ((room, part), (head, mine)) in rooms.iter().zip(parts).zip(slots) {
            let Some(head) = got.one(head)?.filter(|head| head.room_id == *room) else { continue };
            let mine = got.one(mine)?.filter(|mine| mine.room_id == *room && !mine.forgotten);
            known.push((part, head.value, mine));
        }
        let reaches = known.iter().map(|(part, head, mine)| self.reach(*part, head, mine.as_ref()));
        let reaches = data.in_waves(try_together(reaches)).await?;
        let with_reach = known.into_iter().zip(reaches);
        Ok(with_reach
            .filter_map(|((part, head, mine), reach)| {
                Some(RoomAccess {
                    rooms: self.clone(),
                    reader: reader.clone(),
                    room: head.room_id.clone(),
                    part,
                    head,
                    membership: mine.map(|mine| mine.value.membership),
                    reach: reach?,
                })
            })
            .collect())
    }

    /// How far somebody may read; `None`: not at all.
    async fn reach(
        &self,
        part: Part,
        head: &RoomHead,
        mine: Option<&Found<UserRoom>>,
    ) -> Result<Option<Reach>, RoomsError> {
        let membership = mine.map(|mine| mine.membership);
        if membership == Some(Member::Join) {
            return Ok(Some(Reach::Now));
        }
        let left = mine.filter(|mine| mine.was_joined).and_then(|mine| mine.no);
        let visibility = self.history_visibility(part, head.state).await?;
        let open = match visibility {
            // Who has left is shown the room as it was when they left, not as a stranger sees it
            // (client-server API, `GET /rooms/{roomId}/state`).
            HistoryVisibility::WorldReadable => left.is_none(),
            HistoryVisibility::Invited => membership == Some(Member::Invite),
            _ => false,
        };
        if open {
            return Ok(Some(Reach::Now));
        }
        let Some(no) = left else { return Ok(None) };
        let event = self.last_left(part, no).await?;
        Ok(event.and_then(|event| {
            Some(Reach::Left { at: event.place?, state: event.stored.state_after })
        }))
    }

    /// The event with which somebody who is not joined was last joined no longer; `no` is their
    /// newest member event.
    pub(crate) async fn last_left(
        &self,
        part: Part,
        no: EventNo,
    ) -> Result<Option<Arc<Event>>, RoomsError> {
        let Some(mut event) = self.data().event(part, no).await? else { return Ok(None) };
        for _ in 0..MEMBERSHIP_STEPS_MAX {
            let Some(before) = event.stored.replaces else { return Ok(None) };
            let Some(before) = self.data().event(part, before).await? else { return Ok(None) };
            if membership_in(Some(&before)) == ruma::events::room::member::MembershipState::Join {
                return Ok(Some(event));
            }
            event = before;
        }
        Ok(None)
    }
}

impl fmt::Debug for RoomAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomAccess").field("room", &self.room).finish_non_exhaustive()
    }
}

impl RoomAccess {
    /// Who reads.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The room.
    pub fn room(&self) -> &RoomId {
        &self.room
    }

    /// The reader's membership now; `None` if they never had one, or forgot the room.
    pub fn membership(&self) -> Option<Member> {
        self.membership
    }

    /// The state that the reader may see: the current one, or that of when they left.
    pub(crate) fn state(&self) -> StateRoot {
        match self.reach {
            Reach::Now => self.head.state,
            Reach::Left { state, .. } => state,
        }
    }

    /// The last place that the reader may see, unless that is the newest one.
    pub(crate) fn last_place(&self) -> Option<Place> {
        match self.reach {
            Reach::Now => None,
            Reach::Left { at, .. } => Some(at),
        }
    }

    /// Whether an event lies within the reader's reach.
    pub(crate) fn reaches(&self, event: &Event) -> bool {
        let Some(place) = event.place else { return false };
        self.last_place().is_none_or(|last| place <= last)
    }

    pub(crate) fn joined_until(&self) -> JoinedUntil {
        match (self.membership, self.reach) {
            (Some(Member::Join), _) => JoinedUntil::Now,
            (_, Reach::Left { at, .. }) => JoinedUntil::Left(at),
            (_, Reach::Now) => JoinedUntil::Never,
        }
    }

    /// # Errors
    /// [`RoomsError::NotJoined`] unless the reader is joined now.
    pub(crate) fn must_be_joined(&self) -> Result<(), RoomsError> {
        if self.membership == Some(Member::Join) { Ok(()) } else { Err(RoomsError::NotJoined) }
    }

    /// # Errors
    /// [`RoomsError::NotJoined`] if the reader may only see how the room was when they left.
    pub(crate) fn must_reach_now(&self) -> Result<(), RoomsError> {
        if self.reach == Reach::Now { Ok(()) } else { Err(RoomsError::NotJoined) }
    }
}
