//! Events that the server sends later (MSC4140): the message of next Monday, and the "has left the
//! call" of a device that may lose its network before it can say so itself.
//!
//! A waiting event is a row of its owner and a row in the queue of everything that waits
//! ([`due`]). When its time has come it goes the way of everything that its owner says
//! ([`fire`]), and the same batch that appends it takes it out of the queue: so it is said once,
//! whenever the server is killed.
//!
//! State that others set meanwhile does not cancel a delayed event: the final text of the
//! proposal leaves that to clients.

mod due;
mod fire;
mod look;

use std::sync::atomic::AtomicU64;

use blaupause_data::{DIRECTORY, Found, Member, Order, Part, ReadSet, Write};
use blaupause_graph::Refusal;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::{
    Redact, Rooms, RoomsError, SendEvent, Transaction,
    rows::{
        DelayOwnerRow, DelayTxnRow, Delayed, DelayedContentRow, DelayedEndRow, DelayedRow,
        DelayedStickyRow, DueRow, Ending, Outcome,
    },
    send::{ATTEMPTS_MAX, busy},
    validate,
};

/// Bytes of the content of a delayed event: an event has no more (client-server API, "Size
/// limits").
const CONTENT_BYTES_MAX: usize = 65_536;
/// How long it can be asked what became of a delayed event.
const KEEP_MS: u64 = 24 * 60 * 60 * 1_000;
/// Finished events that one answer lists at most.
const FINISHED_LISTED_MAX: u32 = 1_000;

/// What operators allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayLimits {
    /// Longest delay in milliseconds.
    pub delay_ms_max: u64,
    /// Events of one user that may wait at the same time.
    pub waiting_max: u32,
}

impl Default for DelayLimits {
    fn default() -> Self {
        Self { delay_ms_max: 24 * 60 * 60 * 1_000, waiting_max: 100 }
    }
}

/// An event to be sent later.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub room: OwnedRoomId,
    pub sender: OwnedUserId,
    pub kind: TimelineEventType,
    /// `None`: a message.
    pub state_key: Option<String>,
    /// A JSON object.
    pub content: Box<RawValue>,
    pub delay_ms: u64,
    pub transaction: Option<Transaction>,
    /// How long it is to be sticky (MSC4354) from then on, in milliseconds.
    pub sticky_ms: Option<u64>,
}

/// What to do with a waiting event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayAction {
    /// Now, not later.
    Send,
    /// Never.
    Cancel,
    /// The delay begins again.
    Restart,
}

/// A delayed event as its owner sees it.
#[derive(Clone, Debug)]
pub struct DelayedEvent {
    pub id: String,
    pub event: Delayed,
    pub content: Box<RawValue>,
    /// `None`: it waits.
    pub ending: Option<Ending>,
}

/// What the clockwork keeps in memory.
#[derive(Default)]
pub(crate) struct Clockwork {
    news: Notify,
    /// When it looks again, in milliseconds since the Unix epoch; the greatest number while it is
    /// looking: then everything is news.
    wakes_at: AtomicU64,
    /// No row of the queue lies before it: what was there leaves traces that cost time to read.
    floor: AtomicU64,
}

impl Rooms {
    /// Let the server send an event later; gives the id of the delay. The rules of the room are
    /// asked when the time has come. Durable when this returns.
    ///
    /// # Errors
    /// [`RoomsError::DelaysOff`], [`RoomsError::DelayTooLong`], [`RoomsError::TooManyDelayed`],
    /// [`RoomsError::NotJoined`], or what is wrong with the content.
    pub async fn schedule(&self, request: Schedule) -> Result<String, RoomsError> {
        let limits = self.settings().delayed.filter(|limits| limits.waiting_max > 0);
        let limits = limits.ok_or(RoomsError::DelaysOff)?;
        if request.delay_ms == 0 {
            return Err(RoomsError::Invalid("the delay must be greater than 0"));
        }
        if request.delay_ms > limits.delay_ms_max {
            return Err(RoomsError::DelayTooLong { max_ms: limits.delay_ms_max });
        }
        self.must_be_in(&request.sender, &request.room).await?;
        check(&request)?;
        for _ in 0..ATTEMPTS_MAX {
            match self.try_schedule(&request, limits).await {
                Err(error) if error.is_conflict() => {}
                done => return done,
            }
        }
        Err(busy())
    }

    async fn try_schedule(
        &self,
        request: &Schedule,
        limits: DelayLimits,
    ) -> Result<String, RoomsError> {
        let (data, part) = (self.data(), self.data().parts().user(&request.sender));
        let txn = request.transaction.as_ref();
        let txn = txn.map(|txn| self.txn_key(&request.sender, txn, &format!("d{}", request.room)));
        let mut want = ReadSet::new();
        let done = txn.map(|txn| want.get::<DelayTxnRow>(part, &txn));
        let waiting = want.prefix::<DelayedRow>(part, &(), Order::Forward, limits.waiting_max);
        let got = want.run(data).await?;
        if let Some(done) = done.map(|done| got.one(done)).transpose()?.flatten() {
            return Ok(done.value);
        }
        let now = data.env().now_millis();
        let waiting = got.many(waiting)?.rows;
        if waiting.len() >= limits.waiting_max as usize {
            let next = waiting.iter().map(|(_, row)| row.due_ms()).min().unwrap_or(now);
            return Err(RoomsError::TooManyDelayed { retry_ms: next.saturating_sub(now).max(1) });
        }
        let id = data.env().random_text::<24>();
        let delayed = Delayed {
            room_id: request.room.clone(),
            kind: request.kind.to_string(),
            state_key: request.state_key.clone(),
            delay_ms: request.delay_ms,
            since_ms: now,
            txn,
        };
        let mut write = Write::new(part);
        if let Some(txn) = txn {
            write.require_absent::<DelayTxnRow>(part, &txn);
            write.put::<DelayTxnRow>(part, &txn, &id);
        }
        write.put_version::<DelayedRow>(part, &id, 1, &delayed);
        write.put::<DelayedContentRow>(part, &id, &request.content.get().to_owned());
        if let Some(sticky_ms) = request.sticky_ms {
            write.put::<DelayedStickyRow>(part, &id, &sticky_ms);
        }
        write.put::<DelayOwnerRow>(self.place_of(&id), &id, &request.sender);
        write.put::<DueRow>(DIRECTORY, &(delayed.due_ms(), id.clone()), &request.sender);
        data.commit(write).await?;
        self.clockwork().note(delayed.due_ms());
        Ok(id)
    }

    /// Send, cancel or restart a waiting event of one's own. What is as it should be already is no
    /// error.
    ///
    /// # Errors
    /// [`RoomsError::NotFound`], [`RoomsError::DelayEnded`] if it ended otherwise, and whatever
    /// sending says: then it still waits.
    pub async fn manage_delayed(
        &self,
        id: &str,
        owner: &UserId,
        action: DelayAction,
    ) -> Result<(), RoomsError> {
        for _ in 0..ATTEMPTS_MAX {
            let stored = self.stored_delayed(owner, id).await?;
            let Some(waiting) = stored.waiting else {
                return match stored.end {
                    None => Err(not_found()),
                    Some((_, ending)) if ending.agrees(action) => Ok(()),
                    Some(_) => Err(RoomsError::DelayEnded),
                };
            };
            let content = stored.content.ok_or_else(not_found)?;
            let done = match action {
                DelayAction::Restart => self.restart(owner, id, &waiting).await,
                DelayAction::Cancel => {
                    self.end_delayed(owner, id, &waiting, Outcome::Cancelled).await
                }
                DelayAction::Send => self.fire(owner, id, &waiting, &content).await.map(drop),
            };
            match done {
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
                Ok(()) if action == DelayAction::Send => {
                    // It may have ended while we were about to send it.
                    match self.stored_delayed(owner, id).await?.end {
                        Some((_, ending)) if ending.agrees(action) => return Ok(()),
                        Some(_) => return Err(RoomsError::DelayEnded),
                        None => {}
                    }
                }
                Ok(()) => return Ok(()),
            }
        }
        Err(busy())
    }

    async fn restart(
        &self,
        owner: &UserId,
        id: &str,
        waiting: &Found<Delayed>,
    ) -> Result<(), RoomsError> {
        let (part, key) = (self.data().parts().user(owner), id.to_owned());
        let mut delayed = waiting.value.clone();
        delayed.since_ms = self.data().env().now_millis();
        let mut write = Write::new(part);
        write.require_version::<DelayedRow>(part, &key, waiting.version);
        write.put_version::<DelayedRow>(part, &key, waiting.version + 1, &delayed);
        write.del::<DueRow>(DIRECTORY, &(waiting.due_ms(), key.clone()));
        write.put::<DueRow>(DIRECTORY, &(delayed.due_ms(), key), &owner.to_owned());
        self.data().commit(write).await?;
        self.clockwork().note(delayed.due_ms());
        Ok(())
    }

    /// Note that a waiting event ended, without an event.
    async fn end_delayed(
        &self,
        owner: &UserId,
        id: &str,
        waiting: &Found<Delayed>,
        outcome: Outcome,
    ) -> Result<(), RoomsError> {
        let mut write = Write::new(self.data().parts().user(owner));
        self.write_end(&mut write, owner, id, waiting, outcome);
        self.data().commit(write).await?;
        Ok(())
    }

    /// Let a batch end a waiting event; it conflicts if somebody else was faster.
    fn write_end(
        &self,
        write: &mut Write,
        owner: &UserId,
        id: &str,
        waiting: &Found<Delayed>,
        outcome: Outcome,
    ) {
        let (part, key) = (self.data().parts().user(owner), id.to_owned());
        let ending = Ending { at_ms: self.data().env().now_millis(), outcome };
        let forget_at = ending.at_ms.saturating_add(KEEP_MS);
        write.require_version::<DelayedRow>(part, &key, waiting.version);
        write.del::<DelayedRow>(part, &key);
        write.del::<DueRow>(DIRECTORY, &(waiting.due_ms(), key.clone()));
        write.put::<DelayedEndRow>(part, &key, &(waiting.value.clone(), ending));
        write.put::<DueRow>(DIRECTORY, &(forget_at, key), &owner.to_owned());
    }

    /// Forget what waits for somebody whose account was closed.
    pub(crate) async fn forget_delayed_of(&self, owner: &UserId) -> Result<(), RoomsError> {
        let (data, part) = (self.data(), self.data().parts().user(owner));
        let most = self.settings().delayed.unwrap_or_default().waiting_max;
        for (id, waiting) in data.list_all::<DelayedRow>(part, &(), most).await?.rows {
            match self.end_delayed(owner, &id, &waiting, Outcome::Cancelled).await {
                Err(error) if !error.is_conflict() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    async fn must_be_in(&self, user: &UserId, room: &RoomId) -> Result<(), RoomsError> {
        match self.data().membership(user, room).await? {
            Some(row) if row.membership == Member::Join => Ok(()),
            _ => Err(RoomsError::NotJoined),
        }
    }

    /// Whose a delay is: who knows its id may act for them where nobody asks for a token.
    ///
    /// # Errors
    /// [`RoomsError::NotFound`].
    pub async fn delay_owner(&self, id: &str) -> Result<OwnedUserId, RoomsError> {
        must_be_id(id)?;
        let row = self.data().get::<DelayOwnerRow>(self.place_of(id), &id.to_owned()).await?;
        row.map(|row| row.value).ok_or_else(not_found)
    }

    /// The partition of the row that says whose a delay is.
    fn place_of(&self, id: &str) -> Part {
        self.data().parts().named(b'L', id)
    }
}

impl Delayed {
    /// When it is to be sent, in milliseconds since the Unix epoch.
    pub fn due_ms(&self) -> u64 {
        self.since_ms.saturating_add(self.delay_ms)
    }

    fn state_type(&self) -> StateEventType {
        StateEventType::from(self.kind.as_str())
    }
}

impl Ending {
    /// Whether an event that ended so is as the action wants it.
    fn agrees(&self, action: DelayAction) -> bool {
        match action {
            DelayAction::Send => matches!(self.outcome, Outcome::Sent(_)),
            DelayAction::Cancel => !matches!(self.outcome, Outcome::Sent(_)),
            DelayAction::Restart => false,
        }
    }

    /// The event that it became.
    pub fn event(&self) -> Option<&OwnedEventId> {
        match &self.outcome {
            Outcome::Sent(event) => Some(event),
            Outcome::Cancelled | Outcome::Failed { .. } => None,
        }
    }
}

/// What can be known to be wrong before the time has come.
fn check(request: &Schedule) -> Result<(), RoomsError> {
    let Schedule { room, kind, state_key, content, .. } = request;
    let size_bytes = content.get().len();
    if size_bytes > CONTENT_BYTES_MAX {
        let limit_bytes = CONTENT_BYTES_MAX;
        return Err(Refusal::TooLarge { what: "content", size_bytes, limit_bytes }.into());
    }
    validate::object(content)?;
    validate::nesting(content)?;
    match state_key {
        Some(key) => {
            validate::state(&StateEventType::from(kind.to_string()), key, content, Some(room))
        }
        None if *kind == TimelineEventType::RoomRedaction => {
            Redact::try_from(message_of(request)).map(drop)
        }
        None => validate::message(kind, content),
    }
}

fn message_of(request: &Schedule) -> SendEvent {
    SendEvent {
        room: request.room.clone(),
        sender: request.sender.clone(),
        kind: request.kind.clone(),
        content: request.content.clone(),
        transaction: None,
        timestamp: None,
        sticky_ms: None,
    }
}

/// Ids of ours are short; nothing else is looked up.
fn must_be_id(id: &str) -> Result<(), RoomsError> {
    const ID_BYTES: usize = 32;
    if id.len() == ID_BYTES && id.is_ascii() { Ok(()) } else { Err(not_found()) }
}

fn not_found() -> RoomsError {
    RoomsError::NotFound("delayed event")
}
