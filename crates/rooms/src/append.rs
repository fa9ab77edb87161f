//! Events join a room: seal, authorise, write. The only way in for events of this server's users.

use std::{collections::HashMap, sync::Arc};

use blaupause_data::{
    Change, Part, Place, Write,
    rows::{
        AuthRow, CurrentRow, EventNoRow, EventRoomRow, EventRow, HeadRow, PageRow, RelationRow,
        RoomHead, StateKeyNoRow, StateKeyRow, StoredEvent, TimelineEntry, TimelineRow, Tip,
        UserRoom,
    },
};
use blaupause_graph::{
    Draft, EventNo, PageNo, Parents, Pdu, StateKeyNo, StateLookup, authorize,
    check_state_independent, order, seal, state_needed,
};
use ruma::{EventId, OwnedUserId, events::StateEventType};

use crate::{
    Rooms, RoomsError,
    hot::{Known, PageBag, RoomHot, StateName},
    relates::{Relation, THREAD},
    rows::{ThreadReply, ThreadReplyRow},
    validate,
};

/// Events that are about to be written together. Nothing of it is known to anybody until
/// [`Appending::finish`]: dropping it leaves the room as it was.
pub(crate) struct Appending<'a> {
    pub(crate) rooms: &'a Rooms,
    pub(crate) hot: &'a mut RoomHot,
    /// The head as it will be.
    pub(crate) head: RoomHead,
    /// The batch; callers may add rows that belong to the same action.
    pub(crate) write: Write,
    /// State keys that the batch changes.
    changed: HashMap<StateName, Known>,
    /// Rows of users that the batch changes.
    pub(crate) user_rooms: HashMap<OwnedUserId, UserRoom>,
    pages: PageBag,
    index: u16,
}

/// The current state as seen by the next event of a batch.
pub(crate) struct View<'a>(&'a HashMap<StateName, Known>, &'a RoomHot);

impl View<'_> {
    fn known(&self, name: &StateName) -> Option<&Known> {
        self.0.get(name).or_else(|| self.1.state.peek(name))
    }
}

impl StateLookup for View<'_> {
    fn state_event(&self, kind: &StateEventType, state_key: &str) -> Option<Pdu> {
        let known = self.known(&(kind.clone(), state_key.to_owned()))?;
        known.event.as_ref().map(|(_, pdu)| pdu.clone())
    }
}

/// What an event changes in the current state.
struct StateChange {
    name: StateName,
    key: StateKeyNo,
    /// The event that had the key before.
    before: Option<(EventNo, Pdu)>,
}

impl<'a> Appending<'a> {
    pub(crate) fn new(rooms: &'a Rooms, hot: &'a mut RoomHot) -> Self {
        let head = hot.head.clone();
        Self {
            rooms,
            write: Write::new(hot.part),
            head,
            hot,
            changed: HashMap::new(),
            user_rooms: HashMap::new(),
            pages: PageBag::default(),
            index: 0,
        }
    }

    pub(crate) fn part(&self) -> Part {
        self.hot.part
    }

    /// Make sure that these keys of the current state are known.
    pub(crate) async fn look_up(&mut self, names: &[StateName]) -> Result<(), RoomsError> {
        let is_new = self.hot.version == 0;
        let (changed, rooms) = (&self.changed, self.rooms);
        let absent = names.iter().filter(|name| !changed.contains_key(*name)).cloned();
        // A room that is being made has no state but what this batch has given it.
        let absent: Vec<_> = absent.filter(|_| !is_new).collect();
        rooms.look_up(self.hot, &absent).await
    }

    /// The current state, this batch included, as far as it was looked up.
    pub(crate) fn view(&self) -> View<'_> {
        View(&self.changed, self.hot)
    }

    /// A state event of the current state, this batch included, after [`Appending::look_up`].
    pub(crate) fn state(&self, kind: &StateEventType, state_key: &str) -> Option<Pdu> {
        self.view().state_event(kind, state_key)
    }

    /// Whether the current state already says exactly this: then a new event would say nothing.
    /// Looks the key up.
    pub(crate) async fn says_already(&mut self, draft: &Draft) -> Result<Option<Pdu>, RoomsError> {
        let Some(state_key) = &draft.state_key else { return Ok(None) };
        let name = (StateEventType::from(draft.kind.to_string()), state_key.clone());
        self.look_up(std::slice::from_ref(&name)).await?;
        let current = self.state(&name.0, &name.1);
        Ok(current.filter(|pdu| {
            pdu.sender() == draft.sender && same_json(pdu.content().get(), draft.content.get())
        }))
    }

    /// Seal an event on top of the room, check that it is allowed, add it to the batch.
    ///
    /// House rules (`blaupause-policy`: who may speak where, which content is allowed) belong at
    /// the top of this function: everything that a user of this server says passes here.
    pub(crate) async fn push(&mut self, draft: Draft) -> Result<Pdu, RoomsError> {
        let relation = match &draft.state_key {
            None => self.relation_of(&draft).await?,
            Some(_) => None,
        };
        self.push_with(draft, relation).await
    }

    /// As [`Appending::push`], where the caller has already looked up what the event relates to.
    pub(crate) async fn push_with(
        &mut self,
        draft: Draft,
        relation: Option<Relation>,
    ) -> Result<Pdu, RoomsError> {
        let name = draft
            .state_key
            .as_ref()
            .map(|key| (StateEventType::from(draft.kind.to_string()), key.clone()));
        validate::nesting(&draft.content)?;
        let (pdu, auth) = self.seal(&draft, name.as_ref()).await?;
        self.check(&pdu, &auth)?;
        let auth = auth
            .iter()
            .filter(|(_, event)| pdu.auth_events().iter().any(|id| id == event.event_id()))
            .map(|(no, _)| *no)
            .collect();
        self.append(&pdu, name, auth, relation).await?;
        Ok(pdu)
    }

    /// Whether the rules would let somebody say this, without saying it.
    pub(crate) async fn would_allow(&mut self, draft: &Draft) -> Result<(), RoomsError> {
        let (pdu, auth) = self.seal(draft, None).await?;
        self.check(&pdu, &auth)
    }

    /// All rules, also those that look at no state: only they know that a room has one create
    /// event, its first.
    fn check(&self, pdu: &Pdu, auth: &[(EventNo, Pdu)]) -> Result<(), RoomsError> {
        let rules = &self.hot.rules;
        let find = |id: &EventId| {
            auth.iter().map(|(_, event)| event).find(|event| event.event_id() == id).cloned()
        };
        check_state_independent(pdu, find, rules)?;
        Ok(authorize(pdu, &self.view(), rules)?)
    }

    /// The sealed event and the candidates for its auth events.
    async fn seal(
        &mut self,
        draft: &Draft,
        name: Option<&StateName>,
    ) -> Result<(Pdu, Vec<(EventNo, Pdu)>), RoomsError> {
        let rules = self.hot.rules.clone();
        let mut needed = state_needed(
            &draft.kind,
            &draft.sender,
            draft.state_key.as_deref(),
            &draft.content,
            &rules,
        )?;
        let auth_count = needed.len();
        needed.extend(name.cloned());
        self.look_up(&needed).await?;
        let view = self.view();
        let auth: Vec<(EventNo, Pdu)> = needed[..auth_count]
            .iter()
            .filter_map(|name| view.known(name)?.event.clone())
            .collect();
        let parents = Parents {
            prev_events: self.head.tips.iter().map(|tip| tip.event_id.clone()).collect(),
            auth_events: auth.iter().map(|(_, pdu)| pdu.event_id().to_owned()).collect(),
            depth: order::depth_after(self.head.tips.iter().map(|tip| tip.depth)),
        };
        let data = self.rooms.data();
        let pdu = seal(draft, &parents, data.server_name(), data.signing_key().pair(), &rules)?;
        Ok((pdu, auth))
    }

    async fn append(
        &mut self,
        pdu: &Pdu,
        name: Option<StateName>,
        auth: Vec<EventNo>,
        relation: Option<Relation>,
    ) -> Result<(), RoomsError> {
        let no = self.head.next_event;
        self.head.next_event.0 += 1;
        let state_before = self.head.state;
        let change = name.map(|name| self.state_change(name));
        if let Some(change) = &change {
            self.write_state(pdu, no, change, &auth).await?;
        }
        let place = Place::now(self.index);
        self.index += 1;
        let stored = StoredEvent {
            event_id: pdu.event_id().to_owned(),
            place: Some(place),
            state_before,
            state_after: self.head.state,
            auth,
            prev: self.head.tips.iter().map(|tip| tip.no).collect(),
            rejected: false,
            soft_failed: false,
            redacted_by: None,
            replaces: change.as_ref().and_then(|change| Some(change.before.as_ref()?.0)),
            pdu: pdu.json().to_owned(),
        };
        self.write_event(pdu, no, place, &stored);
        if let Some(Relation { target, rel_type }) = relation {
            if rel_type == THREAD {
                let reply = ThreadReply { no, root: target };
                self.write.put::<ThreadReplyRow>(self.hot.part, &place, &reply);
            }
            self.write.put::<RelationRow>(self.hot.part, &(target, rel_type, place), &no);
        }
        self.head.tips = vec![Tip {
            no,
            event_id: pdu.event_id().to_owned(),
            depth: pdu.depth(),
            state: self.head.state,
        }];
        if let Some(change) = change {
            if change.name.0 == StateEventType::RoomMember {
                let before = change.before.as_ref().map(|(_, pdu)| pdu);
                self.write_member(pdu, no, before).await?;
            }
            let known = Known { number: Some(change.key), event: Some((no, pdu.clone())) };
            self.changed.insert(change.name, known);
        }
        let room = self.head.room_id.clone();
        self.write.change(&Change::Event { room, no });
        Ok(())
    }

    /// The number of a state key, a new one if the room never had it.
    fn state_change(&mut self, name: StateName) -> StateChange {
        let known = View(&self.changed, self.hot).known(&name).cloned().unwrap_or_default();
        let key = known.number.unwrap_or_else(|| {
            let key = self.head.next_state_key;
            self.head.next_state_key.0 += 1;
            let text = (name.0.to_string(), name.1.clone());
            self.write.put::<StateKeyNoRow>(self.hot.part, &text, &key);
            self.write.put::<StateKeyRow>(self.hot.part, &key, &text);
            key
        });
        StateChange { name, key, before: known.event }
    }

    async fn write_state(
        &mut self,
        pdu: &Pdu,
        no: EventNo,
        change: &StateChange,
        auth: &[EventNo],
    ) -> Result<(), RoomsError> {
        debug_assert!(pdu.state_key().is_some());
        let part = self.hot.part;
        let written =
            self.rooms.set_state(self.hot, &self.head, &mut self.pages, (change.key, no)).await?;
        self.head.state = written.root;
        for (page_no, page) in written.pages {
            self.write.put::<PageRow>(part, &page_no, &page);
            self.pages.0.insert(page_no, Arc::new(page));
            self.head.next_page = self.head.next_page.max(PageNo(page_no.0 + 1));
        }
        self.write.put::<CurrentRow>(part, &change.key, &no);
        self.write.put::<AuthRow>(part, &no, &auth.to_vec());
        Ok(())
    }

    fn write_event(&mut self, pdu: &Pdu, no: EventNo, place: Place, stored: &StoredEvent) {
        let parts = self.rooms.data().parts();
        let part = self.hot.part;
        let id = pdu.event_id().to_owned();
        self.write.put::<EventRow>(part, &no, stored);
        self.write.put::<EventNoRow>(part, &parts.hash16(id.as_str()), &no);
        self.write.put::<EventRoomRow>(parts.event(&id), &id, &self.head.room_id);
        let entry = TimelineEntry { no, state: self.head.state };
        self.write.put::<TimelineRow>(part, &place, &entry);
    }

    /// Let the current state say something else for the rest of the batch, and after it.
    pub(crate) fn know(&mut self, name: StateName, known: Known) {
        self.changed.insert(name, known);
    }

    /// The event that was pushed last.
    pub(crate) fn last_no(&self) -> EventNo {
        EventNo(self.head.next_event.0.saturating_sub(1))
    }

    /// Let the lane know what the batch says, and hand the batch over. Submit it at once: from
    /// here on the lane builds on it.
    pub(crate) fn finish(mut self) -> Write {
        let version = self.hot.version;
        self.write.require_version::<HeadRow>(self.hot.part, &(), version);
        self.write.put_version::<HeadRow>(self.hot.part, &(), version + 1, &self.head);
        self.hot.version = version + 1;
        self.hot.head = self.head;
        for (name, known) in self.changed {
            self.hot.state.put(name, known);
        }
        self.hot.keep_pages(self.pages);
        self.write
    }
}

/// Whether two JSON texts say the same, whatever the order of keys.
fn same_json(a: &str, b: &str) -> bool {
    let parse = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    parse(a).is_some_and(|a| Some(a) == parse(b))
}
