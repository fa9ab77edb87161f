//! Which rooms an answer speaks of, and as what.

use std::collections::HashSet;

use blaupause_data::{Found, Member, rows::UserRoom};
use ruma::{
    OwnedRoomId,
    api::client::{filter::RoomFilter, sync::sync_events::v3},
};

use super::{Span, SyncRequest};
use crate::{Sync, device_lists::RoomMoves};

/// The user's rooms by what the answer says of them.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub joined: Vec<Joined>,
    pub left: Vec<Found<UserRoom>>,
    invited: Vec<Found<UserRoom>>,
    knocked: Vec<Found<UserRoom>>,
    /// All rooms the user is joined to, also those the answer does not speak of.
    all_joined: HashSet<OwnedRoomId>,
}

/// A room the user is joined to.
#[derive(Debug)]
pub(super) struct Joined {
    pub room: OwnedRoomId,
    /// The client knows nothing of this room yet.
    pub is_new: bool,
    /// Something stored happened there (otherwise only typing).
    pub touched: bool,
}

impl Sync {
    pub(super) fn plan(
        &self,
        request: &SyncRequest,
        span: &Span,
        rooms: &[Found<UserRoom>],
    ) -> Plan {
        let filter = &request.filter.room;
        let touched = self.touched(&request.user, span);
        let joined_ids =
            rooms.iter().filter(|room| room.membership == Member::Join).map(|room| &*room.room_id);
        let typing: HashSet<_> =
            self.passing().typing_since(span.passing_since, joined_ids).into_iter().collect();
        let mut plan = Plan::default();
        for room in rooms {
            // What came after this answer's end belongs to the next one.
            if room.pos > span.until || room.forgotten {
                continue;
            }
            let id = &room.room_id;
            let is_new = span.is_new(room.entered_at());
            let passes = room_passes(filter, id);
            match room.membership {
                Member::Join => {
                    plan.all_joined.insert(id.clone());
                    let touched = is_new
                        || request.full_state
                        || touched.as_ref().is_none_or(|t| t.contains(id));
                    if passes && (touched || typing.contains(id)) {
                        plan.joined.push(Joined { room: id.clone(), is_new, touched });
                    }
                }
                Member::Invite if passes && is_new => plan.invited.push(room.clone()),
                Member::Knock if passes && is_new => plan.knocked.push(room.clone()),
                Member::Leave | Member::Ban
                    if passes && is_new && (span.since.is_some() || filter.include_leave) =>
                {
                    plan.left.push(room.clone());
                }
                _ => {}
            }
        }
        plan
    }
}

impl Plan {
    /// What this means for device lists, before timelines are read.
    pub(super) fn moves(&self) -> RoomMoves {
        RoomMoves {
            joined: self.all_joined.clone(),
            entered: self
                .joined
                .iter()
                .filter(|room| room.is_new)
                .map(|room| room.room.clone())
                .collect(),
            left: self
                .left
                .iter()
                .filter(|room| room.was_joined)
                .map(|room| room.room_id.clone())
                .collect(),
            ..RoomMoves::default()
        }
    }

    /// Invitations and knocks: their stripped state as it was stored.
    pub(super) fn add_stripped(&self, _: &SyncRequest, response: &mut v3::Response) {
        for room in &self.invited {
            let mut invited = v3::InvitedRoom::new();
            invited.invite_state.events = stripped(room);
            response.rooms.invite.insert(room.room_id.clone(), invited);
        }
        for room in &self.knocked {
            let mut knocked = v3::KnockedRoom::new();
            knocked.knock_state.events = stripped(room);
            response.rooms.knock.insert(room.room_id.clone(), knocked);
        }
    }
}

/// Stored stripped state as events; what is no JSON was never ours.
pub(crate) fn stripped<T>(room: &UserRoom) -> Vec<ruma::serde::Raw<T>> {
    room.stripped.iter().filter_map(|json| serde_json::from_str(json).ok()).collect()
}

fn room_passes(filter: &RoomFilter, room: &OwnedRoomId) -> bool {
    !filter.not_rooms.contains(room)
        && filter.rooms.as_ref().is_none_or(|rooms| rooms.contains(room))
}
