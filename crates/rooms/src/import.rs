//! A room as another server tells it to somebody who joins (the answer to `send_join`).
//!
//! It may be much larger than a batch. What is written first nobody sees: the room's head comes to
//! know of it with the last piece. A crash before that leaves rows that the next attempt finds.

use blaupause_data::{
    Change, DIRECTORY,
    rows::{HeadRow, RoomHead, RoomServerRow, Tip},
};
use blaupause_graph::{
    EventNo, PageNo, Pdu, StateKeyNo, StateRoot, Unverified, authorize, authorize_by_auth_events,
    rules_of, state_needed,
};
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedServerName, RoomVersionId,
    events::room::create::RoomCreateEventContent, room_version_rules::RoomVersionRules,
};
use serde_json::value::RawValue;

use crate::{
    Rooms, RoomsError,
    append::Appending,
    hot::RoomHot,
    lane::Lane,
    outliers::{is_create, not_a_state},
    partial::ServersSaid,
    remote_append::Way,
    rows::{Created, RoomListRow},
    verify::Checked,
};

/// Events of a small room's state that nobody can verify: the room is of use without them.
const ABSENT_FEW: usize = 2;

/// A room to be taken over.
#[derive(Debug)]
pub(crate) struct Import {
    pub room: OwnedRoomId,
    pub version: RoomVersionId,
    /// The server that told it.
    pub origin: OwnedServerName,
    /// The state before the event.
    pub state: Vec<Box<RawValue>>,
    /// What the state rests on.
    pub auth_chain: Vec<Box<RawValue>>,
    /// The join of one of our users.
    pub event: Box<RawValue>,
    /// Most members were not told; these servers are said to be there.
    pub partial: Option<ServersSaid>,
}

/// The same, checked.
struct Story {
    rules: RoomVersionRules,
    events: Vec<Pdu>,
    state: Vec<OwnedEventId>,
    create: Pdu,
    event: Pdu,
    partial: Option<ServersSaid>,
}

impl Rooms {
    /// Take over a room that this server is not in, or no longer: then what it has of its history
    /// stays. Events that are malformed, or whose signatures are wrong, are left out. Durable, and
    /// complete, when this returns; if it fails nobody sees anything of the room.
    ///
    /// # Errors
    /// [`RoomsError::UnsupportedVersion`], [`RoomsError::Refused`] if the event is not allowed or
    /// the state is none.
    pub(crate) async fn import(&self, import: Import) -> Result<(), RoomsError> {
        let story = self.checked_story(&import).await?;
        let mut lane = self.lane_for_import(&import).await?;
        let part = lane.room()?.part;
        let own = self.data().server_name().to_owned();
        let ours = self.data().get::<RoomServerRow>(part, &own).await?;
        if ours.is_some() && !lane.room()?.head.tips.is_empty() {
            // Somebody else of this server was faster: the room is here.
            drop(lane);
            let missing = self.take_event(&import.room, &story.event, Way::Live, None).await?;
            tracing::debug!(standing = ?missing, "a room was joined twice at once");
            return Ok(());
        }
        let was_partial = self.is_partial(&import.room).await?;
        if story.partial.is_some() {
            self.partial_rooms().begin(&import.room);
        }
        let mut batch = Appending::new(self, lane.room()?);
        let taken = match Box::pin(batch.take_over(&story)).await {
            Ok(()) => {
                let write = batch.finish();
                lane.commit(self.data(), write).await.map(drop)
            }
            Err(error) => {
                // A part of it may be durable.
                drop(batch);
                lane.release().forget();
                Err(error)
            }
        };
        match (&taken, story.partial.is_some()) {
            (Ok(()), true) => self.resync_soon(&import.room),
            (Ok(()), false) if was_partial => self.partial_rooms().forget(&import.room),
            (Err(_), true) if !was_partial => self.partial_rooms().forget(&import.room),
            _ => {}
        }
        taken
    }

    async fn checked_story(&self, import: &Import) -> Result<Story, RoomsError> {
        let unsupported = || RoomsError::UnsupportedVersion(import.version.clone());
        let rules = rules_of(&import.version).ok_or_else(unsupported)?;
        tracing::debug!(room = %import.room, origin = %import.origin, "a room is taken over");
        let Checked { good, .. } =
            self.check_events(&import.room, vec![import.event.clone()], &rules).await;
        let event = match good.into_iter().next() {
            Some(event) => event,
            // Says why.
            None => {
                Unverified::parse(&import.event, &rules)?.verify(&Default::default(), &rules)?
            }
        };
        let state = self.check_events(&import.room, import.state.clone(), &rules).await.good;
        let chain = self.check_events(&import.room, import.auth_chain.clone(), &rules).await.good;
        let ids = state.iter().map(|pdu| pdu.event_id().to_owned()).collect();
        let events: Vec<Pdu> = state.into_iter().chain(chain).collect();
        let mut creates: Vec<&Pdu> = events.iter().filter(|pdu| is_create(pdu)).collect();
        creates.dedup_by_key(|pdu| pdu.event_id());
        let create = match creates.as_slice() {
            [create, others @ ..] if others.iter().all(|o| o.event_id() == create.event_id()) => {
                (*create).clone()
            }
            _ => return Err(not_a_state("it has no create event, or several")),
        };
        let content = create.content_as::<RoomCreateEventContent>();
        if content.is_ok_and(|content| content.room_version != import.version) {
            return Err(not_a_state("the room has another version"));
        }
        let partial = import.partial.clone();
        Ok(Story { rules, events, state: ids, create, event, partial })
    }

    /// The lane of a room that need not be there yet.
    async fn lane_for_import(&self, import: &Import) -> Result<Lane, RoomsError> {
        let part = self.data().parts().room(&import.room);
        self.know_partial().await?;
        let mut lane = self.lanes().enter(part).await;
        if lane.hot().is_none() {
            let hot = match self.data().get::<HeadRow>(part, &()).await? {
                Some(head) => RoomHot::new(part, head.version, head.value)?,
                None => RoomHot::new(part, 0, no_head(import))?,
            };
            *lane.hot() = Some(hot);
        }
        match lane.hot() {
            Some(hot) if hot.head.room_id == import.room => {
                if hot.head.version == import.version {
                    return Ok(lane);
                }
                Err(not_a_state("the room has another version"))
            }
            _ => Err(RoomsError::RoomUnknown),
        }
    }
}

fn no_head(import: &Import) -> RoomHead {
    RoomHead {
        room_id: import.room.clone(),
        version: import.version.clone(),
        next_event: EventNo(0),
        next_state_key: StateKeyNo(0),
        next_page: PageNo(0),
        tips: Vec::new(),
        state: StateRoot::EMPTY,
        joined: 0,
        invited: 0,
    }
}

impl Appending<'_> {
    async fn take_over(&mut self, story: &Story) -> Result<(), RoomsError> {
        self.take_outliers(&story.events).await?;
        let before = self.told_state_without(&story.state, ABSENT_FEW).await?;
        self.stand_at_the_beginning(&story.create).await?;
        let kin = self.kin_of(&story.event).await?;
        let before = self.believed(&story.event, &kin, before).await?;
        self.may_enter(story, before).await?;
        self.commit_piece().await?;
        self.enter(story, before).await
    }

    /// Whether the state that was told lets our user in.
    async fn may_enter(&mut self, story: &Story, before: StateRoot) -> Result<(), RoomsError> {
        let (pdu, rules) = (&story.event, &story.rules);
        let names = state_needed(pdu.kind(), pdu.sender(), pdu.state_key(), pdu.content(), rules)?;
        let all: Vec<_> = names.iter().cloned().chain(pdu.state_name()).collect();
        self.look_up(&all).await?;
        let auth = self.numbers_by_id(pdu.auth_events()).await?;
        let numbers: Vec<_> = auth.iter().map(|(_, no)| *no).collect();
        let auth = self.pdus(&numbers).await?;
        let fetch = |id: &EventId| {
            auth.iter().chain([&story.create]).find(|pdu| pdu.event_id() == id).cloned()
        };
        authorize_by_auth_events(pdu, fetch, rules)?;
        let state = self.state_events_in(before, &names).await?;
        Ok(authorize(pdu, &state, rules)?)
    }

    /// The join becomes the room's only tip, and its state the current one.
    async fn enter(&mut self, story: &Story, before: StateRoot) -> Result<(), RoomsError> {
        let pdu = &story.event;
        let kin = self.kin_of(pdu).await?;
        let (no, mut stored) = self.stand(pdu, &kin, before).await?;
        let was = self.head.state;
        self.head.state = stored.state_after;
        self.head.tips = vec![Tip {
            no,
            event_id: pdu.event_id().to_owned(),
            depth: pdu.depth(),
            state: stored.state_after,
        }];
        self.follow_difference(was, stored.state_after).await?;
        match &story.partial {
            Some(servers) => self.begin_partial(no, servers).await?,
            None => self.never_partial().await?,
        }
        let absent = self.without_place(pdu.prev_events()).await?;
        let place = self.next_place(&absent);
        stored.place = Some(place);
        self.write_standing(no, &stored, &kin);
        self.write_place_behind(no, place, &absent);
        let made = Created {
            by: story.create.sender().to_owned(),
            at: self.rooms.data().env().now_millis(),
        };
        let room = self.head.room_id.clone();
        self.write.put::<RoomListRow>(DIRECTORY, &room, &made);
        self.write.change(&Change::Event { room, no });
        Ok(())
    }
}
