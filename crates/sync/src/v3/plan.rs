//! Which rooms an answer speaks of, and as what.

use std::collections::HashSet;

use blaupause_data::{Found, Member, Place, rows::UserRoom, try_together};
use blaupause_rooms::Wholeness;
use ruma::{
    OwnedRoomId, RoomId,
    api::client::{filter::RoomFilter, sync::sync_events::v3},
};

use super::SyncRequest;
use crate::{
    Sync, SyncError,
    span::{News, Span},
};

/// The user's rooms by what the answer says of them.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub joined: Vec<Joined>,
    pub left: Vec<Found<UserRoom>>,
    invited: Vec<Found<UserRoom>>,
    knocked: Vec<Found<UserRoom>>,
}

/// A room the user is joined to.
#[derive(Debug)]
pub(super) struct Joined {
    pub room: OwnedRoomId,
    /// The client knows nothing of this room yet.
    pub is_new: bool,
    /// Something stored happened there (otherwise only typing).
    pub is_touched: bool,
    /// Who types there changed.
    pub is_typing: bool,
}

impl Sync {
    pub(super) fn plan(
        &self,
        request: &SyncRequest,
        span: &Span,
        news: &News,
        rooms: &[Found<UserRoom>],
        wholeness: impl Fn(&RoomId) -> Wholeness,
    ) -> Plan {
        let filter = &request.filter.room;
        let joined_ids =
            rooms.iter().filter(|room| room.membership == Member::Join).map(|room| &*room.room_id);
        let typing: HashSet<_> =
            self.passing().typing_since(span.passing_since, joined_ids).into_iter().collect();
        let mut plan = Plan::default();
        for room in rooms {
            // What came after this answer's end belongs to the next one.
            if !span.is_told_by(room) || !room_passes(filter, &room.room_id) {
                continue;
            }
            // Other devices learn that the room was left, even if it was forgotten at once.
            if room.forgotten && span.since.is_none() {
                continue;
            }
            let id = &room.room_id;
            let mut is_new = span.is_new(room.entered_at());
            if room.membership == Member::Join && request.lazy().is_none() {
                // Who wants to be told all members is told of the room when they are known.
                let whole = wholeness(id);
                if !whole.is_whole_at(span.until) {
                    continue;
                }
                is_new |= whole.since().is_some_and(|since| span.is_new(since));
            }
            match room.membership {
                Member::Join => {
                    let is_touched = is_new || request.full_state || news.in_room(id);
                    let is_typing = typing.contains(id);
                    if is_touched || is_typing {
                        plan.joined.push(Joined {
                            room: id.clone(),
                            is_new,
                            is_touched,
                            is_typing,
                        });
                    }
                }
                Member::Invite if is_new => plan.invited.push(room.clone()),
                Member::Knock if is_new => plan.knocked.push(room.clone()),
                Member::Leave | Member::Ban
                    if is_new && (span.since.is_some() || filter.include_leave) =>
                {
                    plan.left.push(room.clone());
                }
                _ => {}
            }
        }
        plan
    }
}

impl Sync {
    /// Rooms that the user left after the end of this answer: up to there they were inside, and the
    /// next answer tells only what came later.
    pub(super) async fn add_left_later(
        &self,
        plan: &mut Plan,
        request: &SyncRequest,
        span: &Span,
        rooms: &[Found<UserRoom>],
    ) -> Result<(), SyncError> {
        let left_later = rooms.iter().filter(|room| {
            !span.is_told_by(room)
                && room.was_joined
                && !room.forgotten
                && room_passes(&request.filter.room, &room.room_id)
        });
        let found = left_later.map(|room| async {
            let (part, user) = (self.data().parts().room(&room.room_id), &request.user);
            let (since, until) = (span.since.map(Place::after), Place::after(span.until));
            let stretch = self.data().stretch(part, since, until, 1).await?;
            let (was_inside, is_inside) = tokio::join!(
                self.is_joined_at(part, stretch.state_since, user),
                self.is_joined_at(part, stretch.state_until, user),
            );
            let (is_touched, is_new) = (!stretch.entries.is_empty(), !was_inside?);
            let room = room.room_id.clone();
            let joined = Joined { room, is_new, is_touched, is_typing: false };
            Ok::<_, SyncError>((is_inside? && is_touched).then_some(joined))
        });
        plan.joined.extend(try_together(found).await?.into_iter().flatten());
        Ok(())
    }
}

impl Plan {
    /// Invitations and knocks: their stripped state as it was stored.
    pub(super) fn add_stripped(&self, rooms: &mut v3::Rooms) {
        for room in &self.invited {
            let mut invited = v3::InvitedRoom::new();
            invited.invite_state.events = stripped(room);
            rooms.invite.insert(room.room_id.clone(), invited);
        }
        for room in &self.knocked {
            let mut knocked = v3::KnockedRoom::new();
            knocked.knock_state.events = stripped(room);
            rooms.knock.insert(room.room_id.clone(), knocked);
        }
    }
}

/// Stored stripped state as events; what is no JSON was never ours.
pub(crate) fn stripped<T>(room: &UserRoom) -> Vec<ruma::serde::Raw<T>> {
    room.stripped.iter().filter_map(|json| serde_json::from_str(json).ok()).collect()
}

pub(super) fn room_passes(filter: &RoomFilter, room: &OwnedRoomId) -> bool {
    !filter.not_rooms.contains(room)
        && filter.rooms.as_ref().is_none_or(|rooms| rooms.contains(room))
}
