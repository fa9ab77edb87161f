//! The rows that say what the current state is follow it from one root to another.

use std::collections::{BTreeSet, HashMap};

use blaupause_data::{
    DataError, LIMITS, Write,
    rows::{CurrentRow, HeadRow, RoomHead, RoomServerRow, StateKeyRow},
};
use blaupause_graph::{EventNo, Pdu, StateRoot, tree::Changed};
use ruma::{OwnedServerName, UserId, events::StateEventType};

use crate::{
    RoomsError,
    append::Appending,
    hot::{Known, StateName},
};

/// Keys whose rows are brought up to date together.
const STEP_KEYS: usize = 500;
/// Changed keys that the lane remembers; beyond that it reads anew what it needs.
const REMEMBERED_KEYS_MAX: usize = 200;
/// A batch that is larger is committed in pieces. Both leave room for one more step, whose rows
/// are small, and for an event.
const PIECE_OPS_MAX: usize = LIMITS.batch_ops_max / 2;
const PIECE_BYTES_MAX: usize = LIMITS.batch_bytes_max / 2;

/// A key of the current state that changes.
struct Step {
    name: StateName,
    changed: Changed,
}

impl Appending<'_> {
    /// Bring the rows of the current state from one state to another.
    pub(crate) async fn follow_difference(
        &mut self,
        before: StateRoot,
        after: StateRoot,
    ) -> Result<(), RoomsError> {
        if before == after {
            return Ok(());
        }
        let changes = self.state_diff(before, after).await?;
        let remember = changes.len() <= REMEMBERED_KEYS_MAX;
        let mut steps = Vec::with_capacity(changes.len());
        for changes in changes.chunks(STEP_KEYS) {
            steps.extend(self.named(changes).await?);
        }
        // People of this server are told last: what they are told of is complete then.
        let data = self.rooms.data().clone();
        steps.sort_by_key(|step| member_of(&step.name).is_some_and(|user| data.is_local(user)));
        for steps in steps.chunks(STEP_KEYS) {
            self.follow_steps(steps, remember).await?;
            self.commit_if_large().await?;
        }
        if !remember {
            self.changed.clear();
            self.hot.state.clear();
            self.forgetful = true;
        }
        Ok(())
    }

    async fn named(&self, changes: &[Changed]) -> Result<Vec<Step>, RoomsError> {
        let part = self.part();
        let fresh: HashMap<_, _> =
            self.changed.iter().filter_map(|(name, known)| Some((known.number?, name))).collect();
        let data = self.rooms.data();
        let rows = data.get_many::<StateKeyRow>(changes.iter().map(|c| (part, &c.key))).await?;
        let absent = || DataError::Damaged("idx/K: absent".into());
        changes
            .iter()
            .zip(rows)
            .map(|(changed, row)| {
                let stored = row.map(|row| (StateEventType::from(row.value.0), row.value.1));
                let name = stored.or_else(|| fresh.get(&changed.key).map(|name| (*name).clone()));
                Ok(Step { name: name.ok_or_else(absent)?, changed: *changed })
            })
            .collect()
    }

    async fn follow_steps(&mut self, steps: &[Step], remember: bool) -> Result<(), RoomsError> {
        let part = self.part();
        let is_member = |step: &&Step| step.name.0 == StateEventType::RoomMember;
        let members = steps.iter().filter(is_member);
        let before = members.filter_map(|step| step.changed.before);
        let after = steps.iter().filter(|step| remember || is_member(step));
        let after = after.filter_map(|step| step.changed.after);
        let wanted: BTreeSet<EventNo> = before.chain(after).collect();
        let wanted: Vec<_> = wanted.into_iter().collect();
        let pdus: HashMap<EventNo, Pdu> =
            wanted.iter().copied().zip(self.pdus(&wanted).await?).collect();
        self.count_servers_of(steps).await?;
        for Step { name, changed } in steps {
            match changed.after {
                Some(no) => self.write.put::<CurrentRow>(part, &changed.key, &no),
                None => self.write.del::<CurrentRow>(part, &changed.key),
            }
            let event = |no: Option<EventNo>| no.and_then(|no| Some((no, pdus.get(&no)?)));
            let (was, is) = (event(changed.before), event(changed.after));
            if remember {
                let event = is.map(|(no, pdu)| (no, pdu.clone()));
                self.know(name.clone(), Known { number: Some(changed.key), event });
            }
            if name.0 == StateEventType::RoomMember {
                self.write_member(&name.1, was.map(|(_, pdu)| pdu), is).await?;
            }
        }
        Ok(())
    }

    /// Know how many users of the members' servers are joined, in one round trip.
    async fn count_servers_of(&mut self, steps: &[Step]) -> Result<(), RoomsError> {
        let part = self.part();
        let users = steps.iter().filter_map(|step| member_of(&step.name));
        let mut servers: BTreeSet<OwnedServerName> =
            users.map(|user| user.server_name().to_owned()).collect();
        servers.retain(|server| !self.servers.contains_key(server));
        let keys = servers.iter().map(|server| (part, server));
        let rows = self.rooms.data().get_many::<RoomServerRow>(keys).await?;
        for (server, row) in servers.into_iter().zip(rows) {
            let count = row.map_or(0, |row| row.value);
            self.servers.insert(server, (count, count));
        }
        Ok(())
    }

    /// Commit what the batch holds so far, if it grows too large for one. The head stays what it
    /// was, but for the numbers that are taken: after a crash the whole is done again, and finds
    /// rows that it would write.
    pub(crate) async fn commit_if_large(&mut self) -> Result<(), RoomsError> {
        if self.write.len() < PIECE_OPS_MAX && self.write.size_bytes() < PIECE_BYTES_MAX {
            return Ok(());
        }
        self.must_be_whole()?;
        self.commit_piece().await
    }

    /// As [`Appending::commit_if_large`], however small.
    pub(crate) async fn commit_piece(&mut self) -> Result<(), RoomsError> {
        if self.write.is_empty() {
            return Ok(());
        }
        let part = self.part();
        let head = RoomHead {
            next_event: self.head.next_event,
            next_state_key: self.head.next_state_key,
            next_page: self.head.next_page,
            ..self.hot.head.clone()
        };
        let version = self.hot.version;
        let mut piece = std::mem::replace(&mut self.write, Write::new(part));
        piece.require_version::<HeadRow>(part, &(), version);
        piece.put_version::<HeadRow>(part, &(), version + 1, &head);
        self.rooms.data().commit(piece).await?;
        self.hot.version = version + 1;
        self.hot.head = head;
        Ok(())
    }
}

/// Whose membership a state key is.
fn member_of((kind, key): &StateName) -> Option<&UserId> {
    if *kind != StateEventType::RoomMember {
        return None;
    }
    <&UserId>::try_from(key.as_str()).ok()
}
