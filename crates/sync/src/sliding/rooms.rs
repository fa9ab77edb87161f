//! Which rooms an answer speaks of.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use blaupause_data::{Found, Member, StreamPos, rows::UserRoom, try_together};
use blaupause_rooms::Wholeness;
use ruma::{OwnedRoomId, RoomId, UInt, api::client::sync::sync_events::v5::response};

use super::{Pass, connections::Sent, required::RoomConfig};
use crate::{Sync, SyncError, lazy::Members, v3::stripped};

/// A room that the answer speaks of.
pub(super) struct Told<'a> {
    pub room: &'a Found<UserRoom>,
    pub config: Arc<RoomConfig>,
    /// What the client has of it; `None` if nothing.
    pub sent: Option<&'a Sent>,
    /// Everything up to here is known to the client.
    upto: Option<StreamPos>,
    /// The user is no longer in it.
    pub is_left: bool,
}

impl Told<'_> {
    /// The position after which events are new to the client.
    pub(super) fn since(&self) -> Option<StreamPos> {
        // Who left and came back starts anew.
        self.upto.filter(|upto| self.room.entered_at() <= *upto || self.is_left)
    }

    /// Members that the client was told lazily.
    pub(super) fn members(&self) -> Members {
        let sent = self.sent.filter(|_| self.since().is_some());
        sent.map(|sent| sent.members.clone()).unwrap_or_default()
    }

    /// The client wants more of the timeline than it did: it is told the newest events again.
    pub(super) fn grows(&self) -> bool {
        let sent = self.sent.filter(|_| self.since().is_some());
        sent.is_some_and(|sent| self.config.timeline_limit > sent.config.timeline_limit)
    }
}

/// What the rooms of an answer make of it.
pub(super) struct ToldRooms {
    pub answers: BTreeMap<OwnedRoomId, response::Room>,
    /// What the client has of the rooms now; `None`: a room that is gone.
    pub sent: Vec<(OwnedRoomId, Option<Sent>)>,
    /// Rooms of which the client knows everything now.
    pub current: HashSet<OwnedRoomId>,
}

impl Sync {
    pub(super) async fn told_rooms(
        &self,
        pass: &Pass<'_>,
        configs: &BTreeMap<OwnedRoomId, Arc<RoomConfig>>,
    ) -> Result<ToldRooms, SyncError> {
        let wholeness = self.rooms().all_wholeness().await?;
        let (told, current) = choose(pass, configs, wholeness);
        let answers = try_together(told.iter().map(|told| self.answer_of(pass, told))).await?;
        let mut rooms = ToldRooms { answers: BTreeMap::new(), sent: Vec::new(), current };
        for (told, (answer, members)) in told.iter().zip(answers) {
            let id = &told.room.room_id;
            if let Some(answer) = answer {
                rooms.answers.insert(id.clone(), answer);
            }
            let config = Arc::clone(&told.config);
            let sent = Sent { upto: pass.span.until, config, members };
            rooms.sent.push((id.clone(), (!told.is_left).then_some(sent)));
        }
        Ok(rooms)
    }

    async fn answer_of(
        &self,
        pass: &Pass<'_>,
        told: &Told<'_>,
    ) -> Result<(Option<response::Room>, Members), SyncError> {
        match told.room.membership {
            Member::Invite | Member::Knock => Ok((stripped_room(pass, told), Members::default())),
            _ => Box::pin(self.told_room(pass, told)).await,
        }
    }
}

/// Rooms in a window or subscribed, that have something new; rooms the user left; and those of
/// which the client will know everything.
fn choose<'a>(
    pass: &Pass<'a>,
    configs: &BTreeMap<OwnedRoomId, Arc<RoomConfig>>,
    wholeness: impl Fn(&RoomId) -> Wholeness,
) -> (Vec<Told<'a>>, HashSet<OwnedRoomId>) {
    let by_id: HashMap<_, _> = pass.view.rooms.iter().map(|room| (&room.room_id, room)).collect();
    let mut told = Vec::new();
    let mut current = HashSet::new();
    for (id, config) in configs {
        let Some(&room) = by_id.get(id) else { continue };
        let in_room = matches!(room.membership, Member::Join | Member::Invite | Member::Knock);
        if !in_room || room.forgotten || !pass.span.is_told_by(room) {
            continue;
        }
        // Who wants to be told all members is told of the room when they are known.
        if !wholeness(id).is_whole_at(pass.span.until) && config.wants_all_members() {
            continue;
        }
        current.insert(id.clone());
        let sent = pass.known.rooms.get(id);
        let upto = pass.known.upto(id);
        let is_news = sent.is_none_or(|sent| {
            // A room that was out of every window for a while may have missed more than the last
            // span.
            pass.span.since != upto || pass.news.in_room(id) || config.wants_more_than(&sent.config)
        });
        if is_news {
            told.push(Told { room, config: Arc::clone(config), sent, upto, is_left: false });
        }
    }
    for (id, sent) in &*pass.known.rooms {
        let Some(&room) = by_id.get(id) else { continue };
        let left = matches!(room.membership, Member::Leave | Member::Ban);
        if left && room.pos <= pass.span.until {
            let (config, upto) = (Arc::clone(&sent.config), pass.known.upto(id));
            told.push(Told { room, config, sent: Some(sent), upto, is_left: true });
        }
    }
    (told, current)
}

fn stripped_room(pass: &Pass<'_>, told: &Told<'_>) -> Option<response::Room> {
    let is_news = told.upto.is_none_or(|upto| told.room.pos > upto);
    if !is_news {
        return None;
    }
    let mut room = response::Room::new();
    room.initial = Some(true);
    room.invite_state = Some(stripped(told.room));
    room.is_dm = pass.direct.contains(&told.room.room_id).then_some(true);
    room.bump_stamp = UInt::new(told.room.pos.0);
    Some(room)
}
