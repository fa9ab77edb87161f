//! Content is taken away, for good: the stored event is replaced by its redacted form.

mod related;
mod sweep;

use std::sync::Arc;

use blaupause_data::{
    Change, Event, ReadSet,
    rows::{EventNoRow, EventRow, MemberRow, RelationRow, RoomMember},
};
use blaupause_graph::{Draft, EventNo, Pdu, power_level};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId,
    events::{StateEventType, TimelineEventType, room::power_levels::UserPowerLevel},
    state_res::events::{RoomPowerLevelsEvent, RoomPowerLevelsIntField},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Rooms, RoomsError, SendEvent, Transaction,
    append::Appending,
    hot::Known,
    load::pdu_of,
    member_rows::Membership,
    relates::{THREAD, relation_in},
    rows::{ThreadReplyRow, TxnRow},
    search::has_text,
    send::{ATTEMPTS_MAX, Attempt, busy},
    validate,
};

pub(crate) use sweep::FIELD as REDACT_EVENTS;

/// Somebody wants the content of an event gone.
#[derive(Clone, Debug)]
pub struct Redact {
    pub room: OwnedRoomId,
    pub sender: OwnedUserId,
    /// The event whose content goes.
    pub event: OwnedEventId,
    pub reason: Option<String>,
    pub transaction: Option<Transaction>,
    /// When it was said, if not now: only app services may say so.
    pub timestamp: Option<MilliSecondsSinceUnixEpoch>,
    /// Only events of the sender's own, whatever the room allows them: for suspended people
    /// (client-server API, "Account suspension").
    pub own_only: bool,
}

impl TryFrom<SendEvent> for Redact {
    type Error = RoomsError;

    /// A redaction as the general endpoint gets it: what it redacts stands in the content.
    fn try_from(event: SendEvent) -> Result<Self, RoomsError> {
        #[derive(Deserialize)]
        struct Content {
            redacts: OwnedEventId,
            reason: Option<String>,
        }
        let content: Content = serde_json::from_str(event.content.get())
            .map_err(|_| validate::bad("`redacts` of a redaction is an event id"))?;
        Ok(Self {
            room: event.room,
            sender: event.sender,
            event: content.redacts,
            reason: content.reason,
            transaction: event.transaction,
            timestamp: event.timestamp,
            own_only: false,
        })
    }
}

impl Rooms {
    /// Redact an event: the redaction is an event of its own, and the target loses its content in
    /// the same batch. Durable when this returns.
    ///
    /// # Errors
    /// [`RoomsError::EventUnknown`] if the room has no such event, unless another server may have it
    /// and the sender may redact whatever it is; [`RoomsError::Forbidden`] if
    /// the sender may not redact it, [`RoomsError::Refused`] by the rules of the room.
    pub async fn redact(&self, request: Redact) -> Result<OwnedEventId, RoomsError> {
        for _ in 0..ATTEMPTS_MAX {
            match self.try_redact(&request).await {
                Ok(Attempt::Done(event)) => return Ok(event),
                Ok(Attempt::UnderWay) => self.everything_durable(&request.room).await?,
                Err(error) => self.before_next_try(error).await?,
            }
        }
        Err(busy())
    }

    async fn try_redact(&self, request: &Redact) -> Result<Attempt<OwnedEventId>, RoomsError> {
        let mut lane = self.lane(&request.room).await?;
        let hot = lane.room()?;
        let part = hot.part;
        let key = request.transaction.as_ref().map(|txn| self.txn_key(&request.sender, txn, "r"));
        if key.is_some_and(|key| hot.transaction(&key)) {
            drop(lane);
            return self.finished_redaction(request, key).await;
        }
        let hash = self.data().parts().hash16(request.event.as_str());
        let mut want = ReadSet::new();
        let txn = key.map(|key| want.get::<TxnRow>(part, &key));
        let target = want.get::<EventNoRow>(part, &hash);
        let got = want.run(self.data()).await?;
        if let Some(done) = txn.map(|txn| got.one(txn)).transpose()?.flatten() {
            return Ok(Attempt::Done(done.value));
        }
        let mut batch = Appending::new(self, hot);
        // Whoever is not in the room must not learn which events it has.
        if batch.membership(&request.sender).await? != Some(blaupause_data::Member::Join) {
            return Err(RoomsError::NotJoined);
        }
        let target = match got.one(target)? {
            Some(target) => self.data().event(part, target.value).await?,
            None => None,
        };
        let target = target.filter(|event| event.place.is_some());
        if target.is_none() && (request.own_only || !self.is_elsewhere_too(&request.room).await?) {
            return Err(RoomsError::EventUnknown);
        }
        if target.as_ref().is_some_and(|it| request.own_only && it.sender != request.sender) {
            return Err(RoomsError::OnlyOwn);
        }
        let redaction = batch.push(redaction_draft(self, request)?).await?;
        let by = batch.last_no();
        match target {
            Some(target) => {
                let pdu = pdu_of(&target, &batch.hot.rules)?;
                batch.may_redact(&redaction, &pdu).await?;
                batch.take_content(&target, &pdu, by).await?;
            }
            // Who may redact everything need not wait until it is here.
            None if batch.has_level_to_redact(&redaction).await? => {
                batch.wait_for(request.event.as_str(), by);
            }
            None => return Err(RoomsError::EventUnknown),
        }
        let event = redaction.event_id().to_owned();
        if let (Some(key), Some(txn)) = (key, &request.transaction) {
            batch.write_transaction(key, txn, &event);
        }
        let write = batch.finish();
        lane.commit(self.data(), write).await?;
        Ok(Attempt::Done(event))
    }

    /// Whether other servers are in a room: they may have events of it that are not here.
    async fn is_elsewhere_too(&self, room: &RoomId) -> Result<bool, RoomsError> {
        let servers = self.data().servers_in(room).await?;
        Ok(servers.iter().any(|server| server != self.data().server_name()))
    }

    /// The event of a transaction that the lane has seen; it may not be durable yet.
    async fn finished_redaction(
        &self,
        request: &Redact,
        key: Option<[u8; 16]>,
    ) -> Result<Attempt<OwnedEventId>, RoomsError> {
        let Some(key) = key else { return Ok(Attempt::UnderWay) };
        let done = self.data().get::<TxnRow>(self.data().parts().room(&request.room), &key).await?;
        Ok(done.map_or(Attempt::UnderWay, |done| Attempt::Done(done.value)))
    }
}

fn redaction_draft(rooms: &Rooms, request: &Redact) -> Result<Draft, RoomsError> {
    let content = match &request.reason {
        Some(reason) => json!({ "reason": reason }),
        None => json!({}),
    };
    let draft = Draft::new(
        Some(request.room.clone()),
        request.sender.clone(),
        TimelineEventType::RoomRedaction,
        validate::raw(&content)?,
        request.timestamp.unwrap_or_else(|| rooms.data().env().now()),
    );
    Ok(draft.redacts(request.event.clone()))
}

/// State that a room cannot be without: taking its content away would open the room, or make it
/// unusable, for ever.
const NEVER_REDACTED: [StateEventType; 3] =
    [StateEventType::RoomCreate, StateEventType::RoomServerAcl, StateEventType::RoomEncryption];

/// Whether an event keeps its content whoever redacts it.
pub(crate) fn never_redacted(pdu: &Pdu) -> bool {
    pdu.state_name().is_some_and(|(kind, _)| NEVER_REDACTED.contains(&kind))
}

fn is_kept(kind: &str) -> bool {
    NEVER_REDACTED.contains(&StateEventType::from(kind))
}

impl Appending<'_> {
    async fn may_redact(&mut self, redaction: &Pdu, target: &Pdu) -> Result<(), RoomsError> {
        if never_redacted(target) {
            return Err(RoomsError::Forbidden("this event cannot be redacted"));
        }
        if redaction.sender() == target.sender() {
            return Ok(());
        }
        // Among servers it is enough to be of the same server (`graph::may_redact`); among people
        // it takes the level.
        if self.has_level_to_redact(redaction).await? {
            return Ok(());
        }
        Err(RoomsError::Forbidden("you may not redact the events of others in this room"))
    }

    async fn has_level_to_redact(&mut self, redaction: &Pdu) -> Result<bool, RoomsError> {
        self.look_up(&[
            (StateEventType::RoomCreate, String::new()),
            (StateEventType::RoomPowerLevels, String::new()),
        ])
        .await?;
        let levels =
            self.state(&StateEventType::RoomPowerLevels, "").map(RoomPowerLevelsEvent::new);
        let rules = self.hot.rules.clone();
        let field = RoomPowerLevelsIntField::Redact;
        let needed = levels
            .and_then(|levels| levels.get_as_int_or_default(field, &rules.authorization).ok());
        let needed = UserPowerLevel::Int(needed.unwrap_or_else(|| field.default_value()));
        Ok(power_level(redaction.sender(), &self.view(), &rules)? >= needed)
    }

    /// Replace the stored event by its redacted form, and undo what its content had brought.
    pub(crate) async fn take_content(
        &mut self,
        target: &Arc<Event>,
        pdu: &Pdu,
        by: EventNo,
    ) -> Result<(), RoomsError> {
        // A redaction that came by another way (`push_signed`) may have done it in this batch.
        if target.stored.redacted_by.is_some() || !self.emptied.insert(target.no) {
            return Ok(());
        }
        let (part, no) = (self.part(), target.no);
        let redacted = pdu.redacted(&self.hot.rules)?;
        let mut stored = target.stored.clone();
        // The row gets a new position with this batch; the event keeps its place.
        stored.place = target.place;
        stored.redacted_by = Some(by);
        stored.pdu = redacted.json().to_owned();
        self.write.put::<EventRow>(part, &no, &stored);
        if has_text(&target.kind) {
            Rooms::unindex(&mut self.write, part, no);
        }
        if let (Some((rel_type, id)), Some(place)) = (relation_in(pdu.content()), target.place)
            && pdu.state_key().is_none()
            && let Some(related) = self.rooms.event_no(part, &id).await?
        {
            if rel_type == THREAD {
                self.write.del::<ThreadReplyRow>(part, &place);
            }
            self.write.del::<RelationRow>(part, &(related, rel_type, place));
        }
        self.redact_state(no, &redacted).await?;
        let room = self.head.room_id.clone();
        self.write.change(&Change::Redacted { room, no });
        Ok(())
    }

    /// The current state, if the event is part of it, and the list of members.
    async fn redact_state(&mut self, no: EventNo, redacted: &Pdu) -> Result<(), RoomsError> {
        let Some(name) = redacted.state_name() else { return Ok(()) };
        self.look_up(std::slice::from_ref(&name)).await?;
        let known = self.hot.state.peek(&name).cloned().unwrap_or_default();
        if known.event.as_ref().is_none_or(|(current, _)| *current != no) {
            return Ok(());
        }
        if name.0 == StateEventType::RoomMember
            && let Ok(user_id) = OwnedUserId::try_from(name.1.as_str())
        {
            let user = self.rooms.data().parts().user(&user_id);
            let member = Membership::of(redacted).member;
            let row = RoomMember { user_id, no, display_name: None, avatar_url: None };
            self.write.put::<MemberRow>(self.part(), &(member as u8, user), &row);
        }
        self.know(name, Known { number: known.number, event: Some((no, redacted.clone())) });
        Ok(())
    }
}
