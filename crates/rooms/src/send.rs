//! People say something: message events and state events.

use std::pin::Pin;

use blaupause_data::{DataError, Member, ReadSet, Write, rows::EventNoRow};
use blaupause_graph::Draft;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::value::RawValue;

use crate::{
    Rooms, RoomsError,
    append::Appending,
    relates::{Relation, relation_in},
    rows::{EventTxn, EventTxnRow, TxnRow},
    validate,
};

/// How often an action is tried when somebody else was faster. In one process only a failed
/// batch or an abandoned request gets in the way.
pub(crate) const ATTEMPTS_MAX: usize = 5;

/// Makes a request safe to repeat (client-server API, "Transaction identifiers").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The sending device; empty for a sender without one.
    pub device: String,
    pub id: String,
}

/// A message event that somebody wants to send.
#[derive(Clone, Debug)]
pub struct SendEvent {
    pub room: OwnedRoomId,
    pub sender: OwnedUserId,
    pub kind: TimelineEventType,
    /// A JSON object.
    pub content: Box<RawValue>,
    pub transaction: Option<Transaction>,
    /// When it was said, if not now: only app services may say so.
    pub timestamp: Option<MilliSecondsSinceUnixEpoch>,
    /// How long it is to be sticky (MSC4354), in milliseconds.
    pub sticky_ms: Option<u64>,
}

/// A state event that somebody wants to set.
#[derive(Clone, Debug)]
pub struct SendState {
    pub room: OwnedRoomId,
    pub sender: OwnedUserId,
    pub kind: StateEventType,
    pub state_key: String,
    /// A JSON object.
    pub content: Box<RawValue>,
    /// As [`SendEvent::timestamp`].
    pub timestamp: Option<MilliSecondsSinceUnixEpoch>,
    /// As [`SendEvent::sticky_ms`].
    pub sticky_ms: Option<u64>,
}

/// What a message needs from the store before its turn.
struct Before {
    done: Option<OwnedEventId>,
    relation: Option<Relation>,
}

/// What became of one attempt.
pub(crate) enum Attempt<T> {
    Done(T),
    /// The same transaction is under way: look again when it is durable.
    UnderWay,
}

/// One attempt to do something in a lane.
pub(crate) type Turn<'a, T> = Pin<Box<dyn Future<Output = Result<T, RoomsError>> + Send + 'a>>;

impl Rooms {
    /// Send a message event. A repeated transaction gives the event of the first time. Durable
    /// when this returns.
    ///
    /// # Errors
    /// [`RoomsError::RoomUnknown`], [`RoomsError::Refused`] by the rules of the room.
    pub async fn send(&self, request: SendEvent) -> Result<OwnedEventId, RoomsError> {
        if request.kind == TimelineEventType::RoomRedaction {
            return self.redact(request.try_into()?).await;
        }
        if let Err(wrong) = validate::message(&request.kind, &request.content) {
            return Err(self.unless_stranger(&request.sender, &request.room, wrong).await);
        }
        for _ in 0..ATTEMPTS_MAX {
            match self.try_send(&request).await {
                Ok(Attempt::Done(event)) => return Ok(event),
                Ok(Attempt::UnderWay) => self.everything_durable(&request.room).await?,
                Err(error) => self.before_next_try(error).await?,
            }
        }
        Err(busy())
    }

    async fn try_send(&self, request: &SendEvent) -> Result<Attempt<OwnedEventId>, RoomsError> {
        let key = request.transaction.as_ref().map(|txn| self.txn_key(&request.sender, txn, "s"));
        // Read before the turn, so that nobody waits for it. What is under way is found in the
        // lane, and the batch's precondition makes sure.
        let before = self.before_send(request, key.as_ref()).await?;
        if let Some(event) = before.done {
            return Ok(Attempt::Done(event));
        }
        let mut lane = self.lane(&request.room).await?;
        let hot = lane.room()?;
        if key.is_some_and(|key| hot.transaction(&key)) {
            return Ok(Attempt::UnderWay);
        }
        let draft = Draft::new(
            Some(request.room.clone()),
            request.sender.clone(),
            request.kind.clone(),
            request.content.clone(),
            request.timestamp.unwrap_or_else(|| self.data().env().now()),
        )
        .sticky(request.sticky_ms);
        let mut batch = Appending::new(self, hot);
        let event = batch.push_with(draft, before.relation).await?.event_id().to_owned();
        if let (Some(key), Some(txn)) = (key, &request.transaction) {
            batch.write_transaction(key, txn, &event);
        }
        let write = batch.finish();
        let durable = self.data().submit(write);
        let slot = lane.release();
        match durable.await {
            Ok(_) => Ok(Attempt::Done(event)),
            Err(error) => {
                slot.forget();
                Err(DataError::from(error).into())
            }
        }
    }

    async fn before_send(
        &self,
        request: &SendEvent,
        key: Option<&[u8; 16]>,
    ) -> Result<Before, RoomsError> {
        let parts = self.data().parts();
        let part = parts.room(&request.room);
        let relation = relation_in(&request.content);
        let mut want = ReadSet::new();
        let txn = key.map(|key| want.get::<TxnRow>(part, key));
        let target = relation
            .as_ref()
            .map(|(_, id)| want.get::<EventNoRow>(part, &parts.hash16(id.as_str())));
        let got = want.run(self.data()).await?;
        let done = txn.map(|txn| got.one(txn)).transpose()?.flatten();
        let target = target.map(|target| got.one(target)).transpose()?.flatten();
        Ok(Before {
            done: done.map(|row| row.value),
            relation: relation
                .zip(target)
                .map(|((rel_type, _), target)| Relation { target: target.value, rel_type }),
        })
    }

    /// Set a state event. Setting again what is set already makes no new event. Durable when this
    /// returns.
    ///
    /// # Errors
    /// [`RoomsError::RoomUnknown`], [`RoomsError::BadContent`], [`RoomsError::Refused`].
    pub async fn send_state(&self, request: SendState) -> Result<OwnedEventId, RoomsError> {
        if let Err(wrong) = self.check_state(&request).await {
            return Err(self.unless_stranger(&request.sender, &request.room, wrong).await);
        }
        if request.kind == StateEventType::RoomMember {
            return self.set_member_event(request).await;
        }
        self.in_turn(|| {
            Box::pin(async {
                let mut lane = self.lane(&request.room).await?;
                let hot = lane.room()?;
                let mut batch = Appending::new(self, hot);
                let draft = self.state_draft(&request);
                if let Some(same) = batch.says_already(&draft).await? {
                    return Ok(same.event_id().to_owned());
                }
                batch.must_not_level_creators(&draft).await?;
                let event = batch.push(draft).await?.event_id().to_owned();
                let write = batch.finish();
                lane.commit(self.data(), write).await?;
                Ok(event)
            })
        })
        .await
    }

    pub(crate) async fn check_state(&self, request: &SendState) -> Result<(), RoomsError> {
        let SendState { kind, state_key, content, room, .. } = request;
        validate::state(kind, state_key, content, Some(room))?;
        if *kind == StateEventType::RoomCanonicalAlias {
            self.check_canonical_alias(request).await?;
        }
        Ok(())
    }

    /// What is wrong with an event; to strangers only that they are strangers: rights come first.
    async fn unless_stranger(&self, user: &UserId, room: &RoomId, wrong: RoomsError) -> RoomsError {
        match self.data().membership(user, room).await {
            Ok(Some(row)) if matches!(row.membership, Member::Join | Member::Invite) => wrong,
            Ok(_) => RoomsError::NotJoined,
            Err(error) => error.into(),
        }
    }

    pub(crate) fn state_draft(&self, request: &SendState) -> Draft {
        Draft::new(
            Some(request.room.clone()),
            request.sender.clone(),
            TimelineEventType::from(request.kind.to_string()),
            request.content.clone(),
            request.timestamp.unwrap_or_else(|| self.data().env().now()),
        )
        .state_key(request.state_key.clone())
        .sticky(request.sticky_ms)
    }

    /// Do something in a room's lane, again if somebody else was faster.
    ///
    /// The action is boxed: with an async closure the compiler cannot see that it is `Send`.
    pub(crate) async fn in_turn<'a, T>(
        &self,
        action: impl Fn() -> Turn<'a, T> + Send,
    ) -> Result<T, RoomsError> {
        for _ in 0..ATTEMPTS_MAX {
            match action().await {
                Err(error) => self.before_next_try(error).await?,
                done => return done,
            }
        }
        Err(busy())
    }

    /// Wait until all that was queued so far is durable. Batches are committed in order.
    pub(crate) async fn everything_durable(&self, room: &RoomId) -> Result<(), RoomsError> {
        self.data().commit(Write::new(self.data().parts().room(room))).await?;
        Ok(())
    }

    /// Where the event of a transaction is noted. `action` keeps the same id apart for different
    /// endpoints.
    pub(crate) fn txn_key(&self, user: &OwnedUserId, txn: &Transaction, action: &str) -> [u8; 16] {
        let text = format!("{action}\0{user}\0{}\0{}", txn.device, txn.id);
        self.data().parts().hash16(&text)
    }
}

impl Appending<'_> {
    /// Note which event a transaction made; the batch conflicts if it made one before.
    pub(crate) fn write_transaction(
        &mut self,
        key: [u8; 16],
        txn: &Transaction,
        event: &OwnedEventId,
    ) {
        let part = self.part();
        self.write.require_absent::<TxnRow>(part, &key);
        self.write.put::<TxnRow>(part, &key, event);
        // What is too long to store is not worth an echo.
        if txn.id.len() <= TXN_ID_BYTES_MAX {
            let row = EventTxn { device: txn.device.clone(), txn: txn.id.clone() };
            self.write.put::<EventTxnRow>(part, &self.last_no(), &row);
        }
        self.hot.note_transaction(key, event.clone());
    }
}

/// Longest transaction id that is shown to the sending device again, in bytes.
const TXN_ID_BYTES_MAX: usize = 255;

pub(crate) fn busy() -> RoomsError {
    DataError::Unavailable("the room is too busy".into()).into()
}
