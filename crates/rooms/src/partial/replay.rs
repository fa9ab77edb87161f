//! The members of a room are known now: what came in meanwhile is judged again.
//!
//! Everything is worked out in the room's turn and written as one batch, or, where the room is
//! large, in pieces of which the last one makes it count. After a crash it is done again.

use std::collections::{BTreeSet, HashMap};

use blaupause_data::{
    Change, DIRECTORY, Member, ReadSet,
    rows::{StoredEvent, TimelineEntry, TimelineRow},
};
use blaupause_graph::{EventNo, Pdu, StateRoot};
use ruma::{OwnedServerName, OwnedUserId, RoomId, UserId, events::StateEventType};

use super::NO_EVENT;
use crate::{
    Rooms, RoomsError,
    append::Appending,
    member_rows::Membership,
    remote_append::{Parent, Way},
    rows::{PartialRoom, PartialRoomRow},
};

/// Events that are read in one go.
const STEP_EVENTS: usize = 200;
/// Members that are looked up in one go.
const STEP_MEMBERS: usize = 100;
/// People and servers that the log names in one line.
const NAMED_MAX: usize = 1_000;

/// What the server that let us in says of the others.
#[derive(Clone, Debug)]
pub(crate) struct ServersSaid {
    pub via: OwnedServerName,
    /// Servers with people in the room; not ours.
    pub in_room: Vec<OwnedServerName>,
}

/// An event that was judged again.
struct Again {
    no: EventNo,
    pdu: Pdu,
    stored: StoredEvent,
    turn: Turn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It counts, or does not, as before.
    Stays,
    /// It should not have been let in.
    Out,
    /// It should have been let in.
    In,
}

/// How events stand that were judged again.
#[derive(Default)]
struct Stands {
    stands: HashMap<EventNo, Stand>,
    /// Servers whose people came or went meanwhile.
    servers: BTreeSet<OwnedServerName>,
}

struct Stand {
    state: StateRoot,
    is_hidden: bool,
    is_rejected: bool,
    prev: Vec<EventNo>,
}

impl Rooms {
    /// Let a room be whole, if the state before our join is known by now: `told`, or that after its
    /// parents. Whether it is whole.
    pub(super) async fn make_whole(
        &self,
        room: &RoomId,
        told: Option<StateRoot>,
    ) -> Result<bool, RoomsError> {
        self.in_turn(|| Box::pin(self.try_make_whole(room, told))).await
    }

    async fn try_make_whole(
        &self,
        room: &RoomId,
        told: Option<StateRoot>,
    ) -> Result<bool, RoomsError> {
        let mut lane = self.lane(room).await?;
        // What was said just now may not be durable yet, and is to be read.
        self.everything_durable(room).await?;
        let mut batch = Appending::new(self, lane.room()?);
        match Box::pin(batch.judge_all_again(told)).await {
            Ok(true) => {
                let write = batch.finish();
                // It holds events that were rejected when they were read, and are not any more.
                lane.forget_after();
                lane.commit(self.data(), write).await?;
                tracing::info!(%room, "the state of a room is known now");
                Ok(true)
            }
            Ok(false) => {
                drop(batch);
                lane.release().forget();
                Ok(false)
            }
            Err(error) => {
                // A part of it may be durable.
                drop(batch);
                lane.release().forget();
                Err(error)
            }
        }
    }
}

impl Appending<'_> {
    async fn judge_all_again(&mut self, told: Option<StateRoot>) -> Result<bool, RoomsError> {
        let room = self.head.room_id.clone();
        let Some(row) = self.rooms.partial_row(&room).await? else { return Ok(true) };
        if row.is_whole {
            return Ok(true);
        }
        let Some((join, pdu)) = self.stored_pdus(&[row.join]).await?.pop() else { return Ok(true) };
        let before = match told {
            Some(told) => told,
            None => {
                let kin = self.kin_of(&pdu).await?;
                if kin.missing(Way::Live).is_some() {
                    return Ok(false);
                }
                let states: Vec<_> = kin.parents.iter().map(|parent| parent.state).collect();
                self.merged(&states).await?
            }
        };
        let was = self.head.state;
        self.head.tips.clear();
        let mut stands = Stands::default();
        let mut again =
            vec![self.judge_again(row.join, join, pdu, Some(before), &mut stands).await?];
        let events: Vec<EventNo> =
            self.partial_events().await?.into_iter().map(|(_, no)| no).collect();
        let events: Vec<EventNo> = events.into_iter().filter(|no| *no != row.join).collect();
        for numbers in events.chunks(STEP_EVENTS) {
            for (no, (stored, pdu)) in numbers.iter().zip(self.stored_pdus(numbers).await?) {
                again.push(self.judge_again(*no, stored, pdu, None, &mut stands).await?);
            }
        }
        let states: Vec<_> = self.head.tips.iter().map(|tip| tip.state).collect();
        self.head.state = if states.is_empty() { before } else { self.merged(&states).await? };
        self.become_whole(row, was, again, stands.servers).await?;
        Ok(true)
    }

    /// Stored events in the order asked; all of them are there.
    async fn stored_pdus(
        &self,
        numbers: &[EventNo],
    ) -> Result<Vec<(StoredEvent, Pdu)>, RoomsError> {
        let rules = &self.hot.rules;
        let stored = self.stored(numbers).await?.into_iter();
        let pdus = stored.map(|(_, stored)| {
            let pdu = Pdu::from_stored(stored.pdu.clone(), stored.event_id.clone(), rules)?;
            Ok((stored, pdu))
        });
        pdus.collect()
    }

    /// Judge one event by the state after its parents as it is now; `told`: by this one.
    async fn judge_again(
        &mut self,
        no: EventNo,
        mut stored: StoredEvent,
        pdu: Pdu,
        told: Option<StateRoot>,
        stands: &mut Stands,
    ) -> Result<Again, RoomsError> {
        let parents = self.parents_again(&stored, stands).await?;
        let before = match told {
            Some(told) => told,
            None => {
                let states: Vec<_> = parents.iter().map(|parent| parent.state).collect();
                self.merged(&states).await?
            }
        };
        let auth = self.pdus(&stored.auth).await?;
        let auth: Vec<_> =
            stored.auth.iter().copied().zip(auth).map(|(no, pdu)| stands.again(no, pdu)).collect();
        let (refused, needed) = match self.judge_alone(&pdu, &auth).await? {
            Ok(needed) => (self.judge_at(&pdu, &needed, before).await?, needed),
            Err(why) => (Some(why), Vec::new()),
        };
        let mut turn = match (refused.is_some(), stored.rejected) {
            (true, false) => Turn::Out,
            (false, true) => Turn::In,
            _ => Turn::Stays,
        };
        if turn == Turn::In {
            // As it would have been when it came.
            let states: Vec<_> = self.head.tips.iter().map(|tip| tip.state).collect();
            let current = self.merged(&states).await?;
            if self.judge_at(&pdu, &needed, current).await?.is_some() {
                (turn, stored.soft_failed) = (Turn::Stays, true);
            }
        }
        stored.rejected = refused.is_some();
        stored.soft_failed &= !stored.rejected;
        self.stand_again(no, &mut stored, &pdu, before).await?;
        if turn == Turn::Out {
            tracing::info!(event = %stored.event_id, why = refused.as_deref(), "an event is taken back");
        }
        let counts = turn == Turn::In || (turn == Turn::Stays && stored.place.is_some());
        if counts {
            self.add_tip(&pdu, no, stored.state_after, &parents).await?;
            stands.note_servers(&pdu);
        }
        let is_rejected = stored.rejected;
        let stand = Stand {
            state: stored.state_after,
            is_hidden: !counts,
            is_rejected,
            prev: stored.prev.clone(),
        };
        stands.stands.insert(no, stand);
        Ok(Again { no, pdu, stored, turn })
    }

    async fn parents_again(
        &self,
        stored: &StoredEvent,
        stands: &Stands,
    ) -> Result<Vec<Parent>, RoomsError> {
        let (known, older): (Vec<EventNo>, Vec<EventNo>) =
            stored.prev.iter().partition(|no| stands.stands.contains_key(no));
        let mut parents: Vec<Parent> = known
            .into_iter()
            .filter_map(|no| {
                let Stand { state, is_hidden, prev, .. } = stands.stands.get(&no)?;
                let (state, is_hidden, prev) = (*state, *is_hidden, prev.clone());
                Some(Parent { no, state, is_hidden, prev })
            })
            .collect();
        for (no, stored) in self.stored(&older).await? {
            let (state, is_hidden) = (stored.state_after, stored.place.is_none());
            parents.push(Parent { no, state, is_hidden, prev: stored.prev });
        }
        Ok(parents)
    }

    /// What the event changes in the state before it.
    async fn stand_again(
        &mut self,
        no: EventNo,
        stored: &mut StoredEvent,
        pdu: &Pdu,
        before: StateRoot,
    ) -> Result<(), RoomsError> {
        (stored.state_before, stored.state_after) = (before, before);
        let Some(name) = pdu.state_name().filter(|_| !stored.rejected) else { return Ok(()) };
        self.look_up(std::slice::from_ref(&name)).await?;
        let key = self.key_of(&name);
        stored.replaces = self.state_get(before, &[key]).await?.pop().flatten();
        stored.state_after = self.set_state(before, &[(key, Some(no))]).await?;
        self.authorize_again(no, &stored.auth).await
    }

    /// An event that was rejected has no place among those that authorize each other yet.
    async fn authorize_again(&mut self, no: EventNo, auth: &[EventNo]) -> Result<(), RoomsError> {
        use blaupause_data::{Write, rows::AuthRow};
        let (part, data) = (self.part(), self.rooms.data());
        if data.get::<AuthRow>(part, &no).await?.is_some() {
            return Ok(());
        }
        let mut write = Write::new(part);
        write.put::<AuthRow>(part, &no, &auth.to_vec());
        data.commit(write).await?;
        // They stand in the order of their numbers: read anew.
        self.graph = None;
        self.hot.graph = None;
        Ok(())
    }

    /// All that follows. `self.head` has the new state and the new tips.
    async fn become_whole(
        &mut self,
        row: PartialRoom,
        was: StateRoot,
        again: Vec<Again>,
        mut moved: BTreeSet<OwnedServerName>,
    ) -> Result<(), RoomsError> {
        let (room, now) = (self.head.room_id.clone(), self.head.state);
        let known = self.rooms.data().servers_in(&room).await?;
        let gone = self.not_there_after_all(&room, now).await?;
        self.follow_difference(was, now).await?;
        self.end_partial().await?;
        moved.extend(
            self.servers.iter().filter(|(_, (_, now))| *now > 0).map(|(server, _)| server.clone()),
        );
        moved.retain(|server| !known.contains(server));
        self.mark_state(now);
        self.write_again(again).await?;
        let whole = PartialRoom { is_whole: true, servers: Vec::new(), ..row };
        self.write.put::<PartialRoomRow>(DIRECTORY, &room, &whole);
        let servers = moved.into_iter().take(NAMED_MAX).collect();
        self.write.change(&Change::StateWhole { room: room.clone(), gone, servers });
        self.write.change(&Change::History { room });
        Ok(())
    }

    /// People of other servers who were believed to be there, and are not.
    async fn not_there_after_all(
        &mut self,
        room: &RoomId,
        now: StateRoot,
    ) -> Result<Vec<OwnedUserId>, RoomsError> {
        let data = self.rooms.data();
        let members = data.members(room, Member::Join).await?.into_iter().map(|row| row.user_id);
        let remote: Vec<_> = members.filter(|user| !data.is_local(user)).collect();
        let mut gone = Vec::new();
        for users in remote.chunks(STEP_MEMBERS) {
            let names: Vec<_> =
                users.iter().map(|user| (StateEventType::RoomMember, user.to_string())).collect();
            self.look_up(&names).await?;
            let events = self.state_events_in(now, &names).await?;
            let is_there = |name| {
                events.get(name).is_some_and(|pdu| Membership::of(pdu).member == Member::Join)
            };
            let absent = users.iter().zip(&names).filter(|(_, name)| !is_there(*name));
            gone.extend(absent.map(|(user, _)| user.clone()));
        }
        gone.truncate(NAMED_MAX);
        Ok(gone)
    }

    /// The events as they stand now. Those that count after all are shown as news.
    async fn write_again(&mut self, again: Vec<Again>) -> Result<(), RoomsError> {
        let (part, room) = (self.part(), self.head.room_id.clone());
        let mut want = ReadSet::new();
        let out = again.iter().filter(|event| event.turn == Turn::Out);
        let places = out.filter_map(|event| Some((event.no, event.stored.place?)));
        let slots: Vec<_> =
            places.map(|(no, place)| (no, want.get::<TimelineRow>(part, &place))).collect();
        let got = want.run(self.rooms.data()).await?;
        let mut entries: HashMap<EventNo, TimelineEntry> = HashMap::new();
        for (no, slot) in slots {
            entries.extend(got.one(slot)?.map(|row| (no, row.value)));
        }
        for Again { no, pdu, mut stored, turn } in again {
            match (turn, stored.place) {
                (Turn::Out, Some(place)) => {
                    // What the state was there remains: clients were told so.
                    if let Some(entry) = entries.remove(&no) {
                        let entry = TimelineEntry { no: NO_EVENT, ..entry };
                        self.write.put::<TimelineRow>(part, &place, &entry);
                    }
                    stored.place = None;
                }
                (Turn::In, None) => {
                    let place = self.next_place(&[]);
                    stored.place = Some(place);
                    self.write_place(no, place);
                    let kin = self.kin_of(&pdu).await?;
                    self.point_at_target(&pdu, no, place, &kin).await?;
                    self.write.change(&Change::Event { room: room.clone(), no });
                }
                _ => {}
            }
            self.write_event(no, &stored);
            self.write.change(&Change::Redacted { room: room.clone(), no });
            self.commit_if_large().await?;
        }
        Ok(())
    }
}

impl Stands {
    /// An auth event as it stands now.
    fn again(&self, no: EventNo, pdu: Pdu) -> (EventNo, Pdu) {
        match self.stands.get(&no) {
            Some(stand) => (no, pdu.with_rejected(stand.is_rejected)),
            None => (no, pdu),
        }
    }

    fn note_servers(&mut self, pdu: &Pdu) {
        let member = pdu.state_name().filter(|(kind, _)| *kind == StateEventType::RoomMember);
        let user = member.and_then(|(_, key)| UserId::parse(key).ok());
        self.servers.extend(user.map(|user| user.server_name().to_owned()));
    }
}
