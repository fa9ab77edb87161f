//! What an answer says of single rooms.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use blaupause_data::{Event, Found, Member, StreamPos, rows::UserRoom};
use blaupause_graph::StateRoot;
use ruma::{
    JsOption, OwnedRoomId, OwnedUserId, UInt, UserId,
    api::client::{
        filter::RoomEventFilter,
        sync::sync_events::v5::{self, response},
    },
};

use super::{
    Pass,
    connections::{Known, Sent},
    lists::by_id,
    required::RoomConfig,
};
use crate::{
    Sync, SyncError,
    device_lists::RoomMoves,
    state::{self, Delta},
    summary,
    timeline::{self, Timeline, Wanted},
    v3::{note_moves, stripped},
};

/// A room that the answer speaks of.
struct Told<'a> {
    room: &'a Found<UserRoom>,
    config: Arc<RoomConfig>,
    /// What the client has of it; `None` if nothing.
    sent: Option<Sent>,
    /// The user is no longer in it.
    is_left: bool,
}

/// Members told lazily that are remembered for one room of a connection. Beyond that they are told
/// again.
const MEMBERS_MAX: usize = 200;

impl Told<'_> {
    /// Members that the client was told lazily.
    fn members(&self) -> Arc<HashSet<OwnedUserId>> {
        let sent = self.sent.as_ref().filter(|_| self.since().is_some());
        sent.map(|sent| Arc::clone(&sent.members)).unwrap_or_default()
    }

    /// The position after which events are new to the client.
    fn since(&self) -> Option<StreamPos> {
        // Who left and came back starts anew.
        self.sent
            .as_ref()
            .map(|sent| sent.upto)
            .filter(|upto| self.room.entered_at() <= *upto || self.is_left)
    }
}

impl Sync {
    pub(super) async fn add_rooms(
        &self,
        pass: &Pass<'_>,
        rooms: &[Found<UserRoom>],
        configs: &BTreeMap<OwnedRoomId, RoomConfig>,
        next: &mut Known,
        response: &mut v5::Response,
    ) -> Result<RoomMoves, SyncError> {
        let told = self.told(pass, rooms, configs);
        let wanted: Vec<_> = told
            .iter()
            .map(|told| Wanted {
                room: told.room.room_id.clone(),
                since: told.since(),
                until: if told.is_left { told.room.pos } else { pass.span.until },
                limit: Wanted::limit(Some(told.config.timeline_limit)),
            })
            .collect();
        let mut timelines =
            timeline::load(self.data(), &wanted, &RoomEventFilter::default()).await?;
        self.hide_ignored(&pass.request.user, &mut timelines).await?;
        let mut moves = self.moves(pass, rooms);
        let direct = self.direct_rooms(pass).await?;
        for (told, timeline) in told.into_iter().zip(timelines) {
            let id = &told.room.room_id;
            let mut members = told.members();
            let room = match told.room.membership {
                Member::Invite | Member::Knock => self.stripped_room(&told, &direct),
                _ => {
                    let moves = &mut moves;
                    self.told_room(pass, &told, timeline, &direct, &mut members, moves).await?
                }
            };
            if let Some(room) = room {
                response.rooms.insert(id.clone(), room);
            }
            if told.is_left {
                next.rooms.remove(id);
            } else {
                let sent = Sent { upto: pass.span.until, config: told.config, members };
                next.rooms.insert(id.clone(), sent);
            }
        }
        // Where nothing happened the client is up to date, too.
        for id in configs.keys() {
            if let Some(sent) = next.rooms.get_mut(id) {
                sent.upto = pass.span.until;
            }
        }
        Ok(moves)
    }

    /// Rooms in a window or subscribed, that have something new; and rooms the user left.
    fn told<'a>(
        &self,
        pass: &Pass<'_>,
        rooms: &'a [Found<UserRoom>],
        configs: &BTreeMap<OwnedRoomId, RoomConfig>,
    ) -> Vec<Told<'a>> {
        let touched = self.touched(&pass.request.user, &pass.span);
        let by_id = by_id(rooms);
        let mut told = Vec::new();
        for (id, config) in configs {
            let Some(&room) = by_id.get(id) else { continue };
            let in_room = matches!(room.membership, Member::Join | Member::Invite | Member::Knock);
            if !in_room || room.forgotten || room.pos > pass.span.until {
                continue;
            }
            let sent = pass.known.rooms.get(id).cloned();
            let news = match &sent {
                None => true,
                Some(sent) => {
                    // A room that was out of every window for a while may have missed more than
                    // the last span.
                    pass.span.since != Some(sent.upto)
                        || touched.as_ref().is_none_or(|touched| touched.contains(id))
                        || wants_more(config, &sent.config)
                }
            };
            if news {
                let config = Arc::new(config.clone());
                told.push(Told { room, config, sent, is_left: false });
            }
        }
        for (id, sent) in &pass.known.rooms {
            let Some(&room) = by_id.get(id) else { continue };
            let left = matches!(room.membership, Member::Leave | Member::Ban);
            if left && room.pos <= pass.span.until {
                let config = Arc::clone(&sent.config);
                told.push(Told { room, config, sent: Some(sent.clone()), is_left: true });
            }
        }
        told
    }

    /// Rooms the user entered and left, for device lists.
    fn moves(&self, pass: &Pass<'_>, rooms: &[Found<UserRoom>]) -> RoomMoves {
        let mut moves = RoomMoves::default();
        for room in rooms.iter().filter(|room| room.pos <= pass.span.until) {
            match room.membership {
                Member::Join => {
                    moves.joined.insert(room.room_id.clone());
                    if pass.span.since.is_some() && pass.span.is_new(room.entered_at()) {
                        moves.entered.push(room.room_id.clone());
                    }
                }
                Member::Leave | Member::Ban
                    if room.was_joined
                        && pass.span.since.is_some()
                        && pass.span.is_new(room.entered_at()) =>
                {
                    moves.left.push(room.room_id.clone());
                }
                _ => {}
            }
        }
        if let Some(since) = pass.span.since {
            self.others_moves(&pass.request.user, since, pass.span.until, &mut moves);
        }
        moves
    }

    fn stripped_room(
        &self,
        told: &Told<'_>,
        direct: &HashSet<OwnedRoomId>,
    ) -> Option<response::Room> {
        let is_news = told.sent.as_ref().is_none_or(|sent| told.room.pos > sent.upto);
        if !is_news {
            return None;
        }
        let mut room = response::Room::new();
        room.initial = Some(true);
        room.invite_state = Some(stripped(told.room));
        room.is_dm = direct.contains(&told.room.room_id).then_some(true);
        room.bump_stamp = UInt::new(told.room.pos.0);
        Some(room)
    }

    async fn told_room(
        &self,
        pass: &Pass<'_>,
        told: &Told<'_>,
        mut timeline: Timeline,
        direct: &HashSet<OwnedRoomId>,
        members: &mut Arc<HashSet<OwnedUserId>>,
        moves: &mut RoomMoves,
    ) -> Result<Option<response::Room>, SyncError> {
        let id = &told.room.room_id;
        let user = &pass.request.user;
        let initial = told.since().is_none();
        if initial {
            let events = std::mem::take(&mut timeline.events);
            timeline.events = self.visible(user, id, events).await?;
        }
        let mut state = self.required_state(pass, told, &timeline, initial, members).await?;
        let is_declined = told.is_left && !self.was_inside(told, user, &timeline).await?;
        if is_declined {
            // A declined invitation: who was not in the room learns of nothing but the own end.
            let is_own = |event: &Arc<Event>| is_member_event_of(event, user);
            timeline.events.retain(is_own);
            state.retain(is_own);
            timeline.limited = false;
        }
        let state_changed = timeline.state_since != timeline.state_end;
        let facts = self.facts(std::slice::from_ref(id)).await?.pop().unwrap_or_default();
        if !initial {
            note_moves(user, &timeline.events, &state, moves);
        }
        let device = pass.request.device.as_deref();
        let mut room = response::Room::new();
        room.initial = initial.then_some(true);
        room.is_dm = direct.contains(id).then_some(true);
        if initial || (state_changed && !is_declined) {
            room.name.clone_from(&facts.name);
            room.avatar =
                facts.avatar.clone().map_or(JsOption::Undefined, |url| JsOption::Some(url.into()));
            room.joined_count = UInt::new(facts.joined);
            room.invited_count = UInt::new(facts.invited);
            if facts.name.is_none() {
                room.heroes = Some(self.heroes(id, user).await?);
            }
        }
        room.bump_stamp = UInt::new(facts.bump.0);
        room.limited = timeline.limited;
        room.num_live = num_live(pass, &timeline.events, initial);
        room.prev_batch = timeline
            .prev_batch
            .filter(|_| initial || timeline.limited)
            .map(|place| place.to_token());
        let is_silent = timeline.events.is_empty() && state.is_empty();
        room.timeline = self.shape(user, device, id, &timeline.events).await?;
        room.required_state = self.shape(user, device, id, &state).await?;
        if !told.is_left {
            let counts = self.notify().counts(user, id).await?.room(false);
            room.unread_notifications.notification_count = UInt::new(counts.notify);
            room.unread_notifications.highlight_count = UInt::new(counts.highlight);
        }
        let own_receipt = self.own_counts_changed(pass, id);
        Ok((initial || !is_silent || state_changed || own_receipt).then_some(room))
    }

    /// State events that the client wants and does not have. Those of the timeline are among them:
    /// clients take state from here alone.
    async fn required_state(
        &self,
        pass: &Pass<'_>,
        told: &Told<'_>,
        timeline: &Timeline,
        initial: bool,
        members: &mut Arc<HashSet<OwnedUserId>>,
    ) -> Result<Vec<Arc<Event>>, SyncError> {
        let user = &pass.request.user;
        let mut wanted = Vec::new();
        let mut changed = Vec::new();
        if initial {
            wanted = self.whole_required(told, timeline.state_end, &told.config, user).await?;
        } else {
            let delta = Delta {
                room: self.data().parts().room(&told.room.room_id),
                from: Some(timeline.state_since),
                to: timeline.state_end,
            };
            changed = state::load(self.data(), &[delta]).await?.pop().unwrap_or_default();
            wanted.extend(changed.iter().filter(|event| told.config.wants(event, user)).cloned());
            if let Some(sent) = &told.sent {
                let more = told.config.beyond(&sent.config);
                if !more.required.is_empty() {
                    wanted
                        .extend(self.whole_required(told, timeline.state_end, &more, user).await?);
                }
            }
        }
        if told.config.is_lazy() {
            wanted.extend(self.lazy_members(told, timeline, &changed, members).await?);
        }
        let mut seen = HashSet::new();
        wanted.retain(|event| seen.insert(event.no));
        Ok(wanted)
    }

    async fn whole_required(
        &self,
        told: &Told<'_>,
        at: StateRoot,
        config: &RoomConfig,
        user: &OwnedUserId,
    ) -> Result<Vec<Arc<Event>>, SyncError> {
        let part = self.data().parts().room(&told.room.room_id);
        if let Some(keys) = config.single_keys(user) {
            let numbers = self.data().state_lookup(part, at, &keys).await?;
            let numbers: Vec<_> = numbers.into_iter().flatten().map(|no| (part, no)).collect();
            return Ok(self.data().events(&numbers).await?.into_iter().flatten().collect());
        }
        let delta = Delta { room: part, from: None, to: at };
        let all = state::load(self.data(), &[delta]).await?.pop().unwrap_or_default();
        Ok(all.into_iter().filter(|event| config.wants(event, user)).collect())
    }

    /// Whether the user was a member when the client was last told of the room.
    async fn was_inside(
        &self,
        told: &Told<'_>,
        user: &OwnedUserId,
        timeline: &Timeline,
    ) -> Result<bool, SyncError> {
        #[derive(serde::Deserialize)]
        struct Membership {
            membership: String,
        }
        let part = self.data().parts().room(&told.room.room_id);
        let users = std::slice::from_ref(user);
        let own = state::members(self.data(), part, timeline.state_since, users).await?;
        let membership = own.first().and_then(|event| event.content_as::<Membership>());
        Ok(membership.is_some_and(|content| content.membership == "join"))
    }

    /// Members whom the timeline shows and who were not told on this connection, and what changed
    /// for those who were. From now on they count as told.
    async fn lazy_members(
        &self,
        told: &Told<'_>,
        timeline: &Timeline,
        changed: &[Arc<Event>],
        members: &mut Arc<HashSet<OwnedUserId>>,
    ) -> Result<Vec<Arc<Event>>, SyncError> {
        let shown = shown_members(&timeline.events);
        let mut wanted: Vec<_> = changed
            .iter()
            .filter(|event| event.kind == "m.room.member")
            .filter(|event| {
                let key = event.state_key.as_deref().and_then(|key| UserId::parse(key).ok());
                key.is_some_and(|user| shown.contains(&user) || members.contains(&user))
            })
            .cloned()
            .collect();
        let unsent: Vec<_> =
            shown.iter().filter(|user| !members.contains(*user)).cloned().collect();
        let part = self.data().parts().room(&told.room.room_id);
        wanted.extend(state::members(self.data(), part, timeline.state_end, &unsent).await?);
        if !unsent.is_empty() {
            let known = Arc::make_mut(members);
            if known.len() + unsent.len() > MEMBERS_MAX {
                known.clear();
            }
            known.extend(unsent);
        }
        Ok(wanted)
    }

    async fn heroes(
        &self,
        room: &OwnedRoomId,
        user: &OwnedUserId,
    ) -> Result<Vec<response::Hero>, SyncError> {
        let members = summary::heroes(self.data(), room, user).await?;
        Ok(members
            .into_iter()
            .map(|member| {
                let mut hero = response::Hero::new(member.user_id);
                hero.name = member.display_name;
                hero.avatar = member.avatar_url.map(Into::into);
                hero
            })
            .collect())
    }
}

/// Whom a timeline shows: senders, and whose membership it is about.
fn shown_members(events: &[Arc<Event>]) -> HashSet<OwnedUserId> {
    let targets = events
        .iter()
        .filter(|event| event.kind == "m.room.member")
        .filter_map(|event| UserId::parse(event.state_key.as_deref()?).ok());
    events.iter().map(|event| event.sender.clone()).chain(targets).collect()
}

fn is_member_event_of(event: &Event, user: &UserId) -> bool {
    event.kind == "m.room.member" && event.state_key.as_deref() == Some(user.as_str())
}

/// Whether a client wants more of a room than it did.
fn wants_more(config: &RoomConfig, before: &RoomConfig) -> bool {
    config.timeline_limit > before.timeline_limit || !config.required.is_subset(&before.required)
}

/// How many events at the end of the timeline happened since the last answer.
fn num_live(pass: &Pass<'_>, events: &[Arc<Event>], initial: bool) -> Option<UInt> {
    let Some(since) = pass.span.since else { return UInt::new(0).filter(|_| initial) };
    let is_live = |event: &&Arc<Event>| {
        event.place.and_then(|place| place.position()).is_some_and(|pos| pos > since)
    };
    UInt::new(events.iter().filter(is_live).count() as u64)
}
