//! What an answer says of one room.

use std::{collections::HashSet, sync::Arc};

use blaupause_data::{Event, Part};
use blaupause_graph::StateRoot;
use ruma::{
    JsOption, OwnedRoomId, OwnedUserId, UInt, UserId,
    api::client::{filter::RoomEventFilter, sync::sync_events::v5::response},
};

use super::{Pass, facts::Facts, required::RoomConfig, rooms::Told};
use crate::{
    Sync, SyncError,
    lazy::Members,
    shape::hide_ignored,
    state::{Difference, MEMBER, is_member_event_of},
    summary,
    timeline::{self, Timeline, Wanted},
};

/// Members told lazily that are remembered for one room of a connection. Beyond that they are told
/// again.
const MEMBERS_MAX: usize = 200;

impl Sync {
    pub(super) async fn told_room(
        &self,
        pass: &Pass<'_>,
        told: &Told<'_>,
    ) -> Result<(Option<response::Room>, Members), SyncError> {
        let (id, user) = (&told.room.room_id, &pass.request.user);
        let initial = told.since().is_none();
        let mut timeline = self.told_timeline(pass, told).await?;
        let (state, is_declined, facts) = tokio::join!(
            self.required_state(pass, told, &timeline),
            self.is_declined(told),
            self.facts(std::slice::from_ref(id)),
        );
        let (mut state, members) = state?;
        let facts = facts?.pop().unwrap_or_default();
        let is_declined = is_declined?;
        if is_declined {
            // A declined invitation: who was not in the room learns of nothing but the own end.
            timeline.events.retain(|event| is_member_event_of(event, user));
            state.retain(|event| is_member_event_of(event, user));
            timeline.limited = false;
        }
        let state_changed = timeline.state_since != timeline.state_end && !is_declined;
        // A client that wants no events is still told that there are some.
        let is_silent =
            timeline.events.is_empty() && !timeline.limited && state.is_empty() && !state_changed;
        if !initial && is_silent && !pass.news.own_counts_in(id) {
            return Ok((None, members));
        }
        let names = initial || state_changed;
        let mut room = self.shaped_room(pass, told, &timeline, &state).await?;
        room.initial = initial.then_some(true);
        room.is_dm = pass.direct.contains(id).then_some(true);
        if names {
            self.add_names(pass, id, &facts, &mut room).await?;
        }
        room.bump_stamp = UInt::new(facts.bump.0);
        room.limited = timeline.limited;
        room.num_live = num_live(pass, &timeline.events, initial);
        room.prev_batch = timeline
            .prev_batch
            .filter(|_| initial || timeline.limited)
            .map(|place| place.to_token());
        Ok((Some(room), members))
    }

    async fn told_timeline(&self, pass: &Pass<'_>, told: &Told<'_>) -> Result<Timeline, SyncError> {
        let part = self.data().parts().room(&told.room.room_id);
        let until = if told.is_left { told.room.pos } else { pass.span.until };
        let limit = Wanted::limit(Some(told.config.timeline_limit));
        let filter = RoomEventFilter::default();
        let wanted = Wanted { room: part, since: told.since(), until, limit };
        let mut timeline = if told.grows() {
            // The newest events again, and the state since the last answer.
            let newest = Wanted { since: None, ..wanted };
            let (mut newest, since) = tokio::try_join!(
                timeline::load(self.data(), newest, &filter),
                timeline::load(self.data(), Wanted { limit: 0, ..wanted }, &filter),
            )?;
            newest.state_since = since.state_since;
            newest
        } else {
            timeline::load(self.data(), wanted, &filter).await?
        };
        hide_ignored(&pass.view.ignored, &mut timeline);
        if told.since().is_none() || told.grows() {
            let user = &pass.request.user;
            self.keep_visible(user, &told.room.room_id, &mut timeline).await?;
        }
        Ok(timeline)
    }

    /// Events as the reader sees them, and the counts.
    async fn shaped_room(
        &self,
        pass: &Pass<'_>,
        told: &Told<'_>,
        timeline: &Timeline,
        state: &[Arc<Event>],
    ) -> Result<response::Room, SyncError> {
        let id = &told.room.room_id;
        let reader = (&*pass.request.user, pass.request.device.as_deref());
        let is_newest = !told.is_left && self.is_newest(id, timeline, &pass.span);
        let (shown, shaped, counts) = tokio::join!(
            self.shape(reader, id, &timeline.events, is_newest),
            self.shape(reader, id, state, false),
            async {
                if told.is_left {
                    return Ok(None);
                }
                Box::pin(self.notify().counts(&pass.request.user, id)).await.map(Some)
            },
        );
        let mut room = response::Room::new();
        room.timeline = shown?;
        room.required_state = shaped?;
        if let Some(counts) = counts? {
            let counts = counts.room(false);
            room.unread_notifications.notification_count = UInt::new(counts.notify);
            room.unread_notifications.highlight_count = UInt::new(counts.highlight);
        }
        Ok(room)
    }

    async fn add_names(
        &self,
        pass: &Pass<'_>,
        id: &OwnedRoomId,
        facts: &Facts,
        room: &mut response::Room,
    ) -> Result<(), SyncError> {
        room.name.clone_from(&facts.name);
        room.avatar =
            facts.avatar.clone().map_or(JsOption::Undefined, |url| JsOption::Some(url.into()));
        room.joined_count = UInt::new(facts.joined);
        room.invited_count = UInt::new(facts.invited);
        if facts.name.is_none() {
            let (members, _) = summary::heroes(self.data(), id, &pass.request.user).await?;
            let hero = |member: blaupause_data::rows::RoomMember| {
                let mut hero = response::Hero::new(member.user_id);
                hero.name = member.display_name;
                hero.avatar = member.avatar_url.map(Into::into);
                hero
            };
            room.heroes = Some(members.into_iter().map(hero).collect());
        }
        Ok(())
    }

    /// State events that the client wants and does not have, and the members that it knows of
    /// afterwards. Those of the timeline are among them: clients take state from here alone.
    async fn required_state(
        &self,
        pass: &Pass<'_>,
        told: &Told<'_>,
        timeline: &Timeline,
    ) -> Result<(Vec<Arc<Event>>, Members), SyncError> {
        let user = &pass.request.user;
        let part = self.data().parts().room(&told.room.room_id);
        let (from, to) = (timeline.state_since, timeline.state_end);
        let sent = told.sent.filter(|_| told.since().is_some());
        let more = match sent {
            None => Some(Arc::clone(&told.config)),
            Some(sent) => {
                let more = told.config.wants_more_than(&sent.config);
                let more = more.then(|| told.config.beyond(&sent.config));
                more.filter(|more| !more.required.is_empty()).map(Arc::new)
            }
        };
        let (whole, changed) = tokio::join!(
            async {
                match &more {
                    Some(config) => self.whole_required(part, to, config, user).await,
                    None => Ok(Vec::new()),
                }
            },
            async {
                match sent {
                    Some(_) => self.state_difference(part, from, to).await,
                    None => Ok(Difference::default()),
                }
            },
        );
        let (mut wanted, changed) = (whole?, changed?.events);
        wanted.extend(changed.iter().filter(|event| told.config.wants(event, user)).cloned());
        let mut members = told.members();
        if told.config.is_lazy() {
            let lazy = self.lazy_members(part, timeline, &changed, &members).await?;
            wanted.extend(lazy.0);
            members = lazy.1;
        }
        let mut seen = HashSet::new();
        wanted.retain(|event| seen.insert(event.no));
        Ok((wanted, members))
    }

    async fn whole_required(
        &self,
        part: Part,
        at: StateRoot,
        config: &RoomConfig,
        user: &UserId,
    ) -> Result<Vec<Arc<Event>>, SyncError> {
        if let Some(keys) = config.single_keys(user) {
            return Ok(self.rooms().state_events_at(part, at, keys).await?);
        }
        let wants_members =
            config.required.iter().any(|(kind, key)| (kind == "*" || kind == MEMBER) && key == "*");
        let all = if wants_members {
            self.state_difference(part, StateRoot::EMPTY, at).await?.events
        } else {
            // Of members only some are wanted, if any.
            let some = config
                .required
                .iter()
                .filter(|(kind, key)| (kind == MEMBER || kind == "*") && key != "$LAZY");
            let name = |(_, key): &(String, String)| match key.as_str() {
                "$ME" => user.to_string(),
                _ => key.clone(),
            };
            let named: Vec<_> = some.map(name).collect();
            let (mut all, named) = tokio::try_join!(
                self.rooms().state_without_members(part, at),
                self.rooms().member_events_at(part, at, &named),
            )?;
            all.extend(named);
            all
        };
        Ok(all.into_iter().filter(|event| config.wants(event, user)).collect())
    }

    /// Whether it was an invitation or a knock that ended, not a membership.
    async fn is_declined(&self, told: &Told<'_>) -> Result<bool, SyncError> {
        if !told.is_left {
            return Ok(false);
        }
        Ok(!self.left_as_member(told.room).await?)
    }

    /// Members whom the timeline shows and who were not told on this connection, and what changed
    /// for those who were. From now on they count as told.
    async fn lazy_members(
        &self,
        part: Part,
        timeline: &Timeline,
        changed: &[Arc<Event>],
        told: &Members,
    ) -> Result<(Vec<Arc<Event>>, Members), SyncError> {
        let parts = self.data().parts();
        let shown = shown_members(&timeline.events);
        let mut wanted: Vec<_> = changed
            .iter()
            .filter(|event| event.kind == MEMBER)
            .filter(|event| {
                let key = event.state_key.as_deref().and_then(|key| UserId::parse(key).ok());
                key.is_some_and(|user| shown.contains(&user) || told.contains(parts.user(&user)))
            })
            .cloned()
            .collect();
        let unsent: Vec<_> =
            shown.into_iter().filter(|user| !told.contains(parts.user(user))).collect();
        wanted.extend(self.members_at(part, timeline.state_end, &unsent).await?);
        let unsent: Vec<_> = unsent.iter().map(|user| parts.user(user)).collect();
        Ok((wanted, told.and(&unsent, MEMBERS_MAX)))
    }
}

/// Whom a timeline shows: senders, and whose membership it is about.
fn shown_members(events: &[Arc<Event>]) -> HashSet<OwnedUserId> {
    let targets = events
        .iter()
        .filter(|event| event.kind == MEMBER)
        .filter_map(|event| UserId::parse(event.state_key.as_deref()?).ok());
    events.iter().map(|event| event.sender.clone()).chain(targets).collect()
}

/// How many events at the end of the timeline happened since the last answer.
fn num_live(pass: &Pass<'_>, events: &[Arc<Event>], initial: bool) -> Option<UInt> {
    let Some(since) = pass.span.since else { return UInt::new(0).filter(|_| initial) };
    let is_live = |event: &&Arc<Event>| {
        event.place.and_then(|place| place.position()).is_some_and(|pos| pos > since)
    };
    UInt::new(events.iter().filter(is_live).count() as u64)
}
