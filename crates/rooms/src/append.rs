//! Events join a room: seal, authorise, write. The only way in for events of this server's users.

mod rows;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use blaupause_data::{
    Change, Part, Place, Write,
    rows::{CurrentRow, HeadRow, RoomHead, StateKeyNoRow, StateKeyRow, StoredEvent, Tip, UserRoom},
};
use blaupause_graph::{
    AuthGraph, Draft, EventNo, Parents, Pdu, StateKeyNo, StateLookup, authorize,
    check_state_independent, order, seal, state_needed,
};
use ruma::{EventId, OwnedServerName, OwnedUserId, events::StateEventType};

use crate::{
    Rooms, RoomsError,
    hot::{Known, PageBag, RoomHot, StateName},
    relates::Relation,
    remote_append::Together,
    state_tree::with_rows,
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
    pub(crate) changed: HashMap<StateName, Known>,
    /// Rows of users that the batch changes.
    pub(crate) user_rooms: HashMap<OwnedUserId, UserRoom>,
    /// Joined users of servers, before the batch and after it.
    pub(crate) servers: HashMap<OwnedServerName, (u64, u64)>,
    pub(crate) pages: PageBag,
    /// Who authorizes the state events of the batch.
    pub(crate) auth_rows: Vec<(EventNo, Vec<EventNo>)>,
    /// The room's auth graph with this batch, if it was needed.
    pub(crate) graph: Option<Arc<AuthGraph>>,
    /// Events of the batch that another one of it may have to look at.
    pub(crate) fresh: Vec<(EventNo, Pdu)>,
    /// More changed than is remembered.
    pub(crate) forgetful: bool,
    /// Events that lose their content by the batch.
    pub(crate) emptied: BTreeSet<EventNo>,
    /// The place of the next event within the batch.
    pub(crate) index: u16,
    /// Events of the batch that are noted to be judged again.
    pub(crate) noted: u16,
    /// Other servers' events that share the batch.
    pub(crate) together: Together,
}

/// The current state as seen by the next event of a batch.
pub(crate) struct View<'a>(&'a HashMap<StateName, Known>, &'a RoomHot);

impl View<'_> {
    pub(crate) fn known(&self, name: &StateName) -> Option<&Known> {
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
            servers: HashMap::new(),
            pages: PageBag::default(),
            auth_rows: Vec::new(),
            graph: None,
            fresh: Vec::new(),
            forgetful: false,
            emptied: BTreeSet::new(),
            index: 0,
            noted: 0,
            together: Together::default(),
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
        // What is sticky says it anew.
        let state_key = draft.state_key.as_ref().filter(|_| draft.sticky_ms.is_none());
        let Some(state_key) = state_key else { return Ok(None) };
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
        self.must_not_reach_strangers(&draft).await?;
        let (pdu, auth) = self.seal(&draft, name.as_ref()).await?;
        self.check(&pdu, &auth)?;
        let (pdu, relation) = match self.signed_for(&draft, &pdu).await? {
            None => (pdu, relation),
            Some(signed) => match self.push_signed(signed, &pdu, relation).await? {
                Ok(said) => return Ok(said),
                Err(here) => here,
            },
        };
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
        self.propose(draft).await.map(drop)
    }

    /// The event as it would be added now, if the rules let it pass. Nothing is added.
    pub(crate) async fn propose(&mut self, draft: &Draft) -> Result<Pdu, RoomsError> {
        self.must_not_reach_strangers(draft).await?;
        let (pdu, auth) = self.seal(draft, None).await?;
        self.check(&pdu, &auth)?;
        Ok(pdu)
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
        let tips = newest(&self.head.tips);
        let parents = Parents {
            prev_events: tips.iter().map(|tip| tip.event_id.clone()).collect(),
            auth_events: auth.iter().map(|(_, pdu)| pdu.event_id().to_owned()).collect(),
            depth: order::depth_after(tips.iter().map(|tip| tip.depth)),
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
            self.write_state(no, change, &auth).await?;
        }
        let place = Place::now(self.index);
        self.index += 1;
        let stored = StoredEvent {
            event_id: pdu.event_id().to_owned(),
            place: Some(place),
            state_before,
            state_after: self.head.state,
            auth,
            prev: newest(&self.head.tips).iter().map(|tip| tip.no).collect(),
            rejected: false,
            soft_failed: false,
            redacted_by: None,
            replaces: change.as_ref().and_then(|change| Some(change.before.as_ref()?.0)),
            pdu: pdu.json().to_owned(),
        };
        let prev = stored.prev.clone();
        self.write_event(no, &stored);
        self.note_partial(no);
        self.write_place(no, place);
        self.write_sticky(pdu, no, place).await?;
        if let Some(relation) = relation {
            self.write_relation(no, place, relation);
        }
        self.head.tips.retain(|tip| !prev.contains(&tip.no));
        self.head.tips.push(Tip {
            no,
            event_id: pdu.event_id().to_owned(),
            depth: pdu.depth(),
            state: self.head.state,
        });
        if let Some(change) = change {
            if change.name.0 == StateEventType::RoomMember {
                let before = change.before.as_ref().map(|(_, pdu)| pdu);
                self.write_member(&change.name.1, before, Some((no, pdu))).await?;
                self.note_sweep(pdu, no, before);
            } else if change.name.0 == StateEventType::RoomGuestAccess {
                self.note_guests(pdu, change.before.as_ref().map(|(_, pdu)| pdu));
            }
            let known = Known { number: Some(change.key), event: Some((no, pdu.clone())) };
            self.changed.insert(change.name, known);
        }
        let room = self.head.room_id.clone();
        self.write.change(&Change::Event { room, no });
        Ok(())
    }

    fn state_change(&mut self, name: StateName) -> StateChange {
        let known = View(&self.changed, self.hot).known(&name).cloned().unwrap_or_default();
        let key = known.number.unwrap_or_else(|| self.number_key(&name));
        StateChange { name, key, before: known.event }
    }

    /// Give a state key that the room never had its number.
    pub(crate) fn number_key(&mut self, name: &StateName) -> StateKeyNo {
        let key = self.head.next_state_key;
        self.head.next_state_key.0 += 1;
        let text = (name.0.to_string(), name.1.clone());
        self.write.put::<StateKeyNoRow>(self.hot.part, &text, &key);
        self.write.put::<StateKeyRow>(self.hot.part, &key, &text);
        key
    }

    async fn write_state(
        &mut self,
        no: EventNo,
        change: &StateChange,
        auth: &[EventNo],
    ) -> Result<(), RoomsError> {
        self.head.state = self.set_state(self.head.state, &[(change.key, Some(no))]).await?;
        self.write.put::<CurrentRow>(self.hot.part, &change.key, &no);
        self.write_auth(no, auth);
        Ok(())
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
        self.write_servers();
        let version = self.hot.version;
        self.write.require_version::<HeadRow>(self.hot.part, &(), version);
        self.write.put_version::<HeadRow>(self.hot.part, &(), version + 1, &self.head);
        self.hot.version = version + 1;
        self.hot.head = self.head;
        if self.forgetful {
            self.hot.state.clear();
        }
        for (name, known) in self.changed {
            self.hot.state.put(name, known);
        }
        self.hot.keep_pages(self.pages);
        let graph = self.graph.or_else(|| self.hot.graph.take());
        self.hot.graph = graph.and_then(|graph| with_rows(graph, &self.auth_rows));
        self.write
    }
}

/// The tips that a new event names as its parents: as many as it may, those farthest from the
/// room's beginning.
fn newest(tips: &[Tip]) -> Vec<&Tip> {
    let mut newest: Vec<&Tip> = tips.iter().collect();
    if newest.len() > order::PREV_EVENTS_MAX {
        newest.sort_by_key(|tip| std::cmp::Reverse(tip.depth));
        newest.truncate(order::PREV_EVENTS_MAX);
    }
    newest
}

/// Whether two JSON texts say the same, whatever the order of keys.
fn same_json(a: &str, b: &str) -> bool {
    let parse = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    parse(a).is_some_and(|a| Some(a) == parse(b))
}
