//! The queue of everything that waits, in the order of time, and who works it off.

use std::{collections::BTreeMap, ops::Bound, sync::atomic::Ordering::SeqCst, time::Duration};

use blaupause_data::{DIRECTORY, DataError, Found, Order, Part, ReadSet, Write, together};
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::value::RawValue;

use super::{Clockwork, KEEP_MS};
use crate::{
    Rooms, RoomsError,
    rows::{
        DelayFailure, DelayOwnerRow, DelayTxnRow, Delayed, DelayedContentRow, DelayedEndRow,
        DelayedRow, DelayedStickyRow, DueRow, Outcome,
    },
};

/// Rows of the queue that are worked off at once.
const AT_ONCE_MAX: u32 = 100;
/// How long to wait after a failure, in milliseconds.
const RETRY_MS: u64 = 2_000;
/// Looks at the queue at least so often, in milliseconds.
const LOOK_MS: u64 = 60_000;
/// A batch may take this long from the moment its time was noted until it is in the queue, in
/// milliseconds.
const LATE_MS: u64 = 10 * 60_000;

/// A row of the queue with what belongs to it.
struct Due {
    at_ms: u64,
    id: String,
    owner: OwnedUserId,
    waiting: Option<Found<Delayed>>,
    ended: Option<(Delayed, u64)>,
    content: Option<Box<RawValue>>,
}

impl Clockwork {
    /// Something has to be done at this time.
    pub(super) fn note(&self, due_ms: u64) {
        if due_ms < self.wakes_at.load(SeqCst) {
            self.news.notify_one();
        }
    }
}

impl Rooms {
    /// Send what is due until the server stops. What became due while it was down is sent first,
    /// in the order of time.
    pub async fn run_delayed(&self) {
        let stop = self.data().env().stop().clone();
        loop {
            let pause = match self.send_due().await {
                Ok(Some(next)) => {
                    next.saturating_sub(self.data().env().now_millis()).clamp(1, LOOK_MS)
                }
                Ok(None) => LOOK_MS,
                Err(error) => {
                    tracing::warn!(%error, "delayed events could not be sent");
                    RETRY_MS
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clockwork().news.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            }
        }
    }

    /// Send what is due, and forget what ended long ago. Says when the next is due.
    ///
    /// # Errors
    /// The store cannot be read or written. What was not done is done the next time.
    pub async fn send_due(&self) -> Result<Option<u64>, RoomsError> {
        let clockwork = self.clockwork();
        loop {
            clockwork.wakes_at.store(u64::MAX, SeqCst);
            let now = self.data().env().now_millis();
            let floor = clockwork.floor.load(SeqCst);
            let mut want = ReadSet::new();
            let rows = want.range::<DueRow>(
                DIRECTORY,
                Bound::Included(&floor),
                Bound::<&u64>::Unbounded,
                Order::Forward,
                AT_ONCE_MAX,
            );
            let mut rows = want.run(self.data()).await?.many(rows)?.rows;
            let next = rows.iter().map(|((at, _), _)| *at).find(|at| *at > now);
            rows.retain(|((at, _), _)| *at <= now);
            if rows.is_empty() {
                clockwork.floor.store(now.saturating_sub(LATE_MS), SeqCst);
                clockwork.wakes_at.store(next.unwrap_or(u64::MAX), SeqCst);
                return Ok(next);
            }
            let due = rows.into_iter().map(|((at, id), owner)| (at, id, owner.value)).collect();
            self.work_off(due).await?;
        }
    }

    /// Rooms side by side; in each of them one after the other.
    async fn work_off(&self, due: Vec<(u64, String, OwnedUserId)>) -> Result<(), RoomsError> {
        let mut by_room: BTreeMap<OwnedRoomId, Vec<Due>> = BTreeMap::new();
        let mut old = Vec::new();
        for due in self.load_due(due).await? {
            match &due.waiting {
                Some(waiting) if waiting.due_ms() == due.at_ms => {
                    by_room.entry(waiting.room_id.clone()).or_default().push(due);
                }
                _ => old.push(due),
            }
        }
        self.forget_ended(old).await?;
        let rooms = by_room.into_values().map(|due| async move {
            let mut worst = Ok(());
            for due in due {
                if let Err(error) = self.send_one(due).await {
                    worst = Err(error);
                }
            }
            worst
        });
        let done = self.data().in_waves(together(rooms)).await;
        done.into_iter().collect()
    }

    async fn load_due(&self, due: Vec<(u64, String, OwnedUserId)>) -> Result<Vec<Due>, RoomsError> {
        let parts = self.data().parts();
        let mut want = ReadSet::new();
        let mut slots = Vec::new();
        for (_, id, owner) in &due {
            let part = parts.user(owner);
            slots.push((
                want.get::<DelayedRow>(part, id),
                want.get::<DelayedEndRow>(part, id),
                want.get::<DelayedContentRow>(part, id),
            ));
        }
        let got = want.run(self.data()).await?;
        let found = due.into_iter().zip(slots).map(|((at_ms, id, owner), slots)| {
            let (waiting, ended, content) = slots;
            let content = got.one(content)?.and_then(|row| RawValue::from_string(row.value).ok());
            let ended = got.one(ended)?.map(|row| (row.value.0, row.value.1.at_ms));
            Ok(Due { at_ms, id, owner, waiting: got.one(waiting)?, ended, content })
        });
        found.collect()
    }

    /// What the rules of the room say no to has ended; what only the store is the reason for is
    /// tried again.
    async fn send_one(&self, due: Due) -> Result<(), RoomsError> {
        let (Some(waiting), Some(content)) = (due.waiting, due.content) else { return Ok(()) };
        let Err(error) = self.fire(&due.owner, &due.id, &waiting, &content).await else {
            return Ok(());
        };
        if is_temporary(&error) {
            return Err(error);
        }
        tracing::debug!(%error, "a delayed event was not sent");
        let outcome = Outcome::Failed { reason: (&error).into(), text: said(&error) };
        match self.end_delayed(&due.owner, &due.id, &waiting, outcome).await {
            // Somebody ended or restarted it.
            Err(error) if error.is_conflict() => Ok(()),
            done => done,
        }
    }

    /// Remove what ended long ago, and rows of the queue without anything.
    async fn forget_ended(&self, old: Vec<Due>) -> Result<(), RoomsError> {
        if old.is_empty() {
            return Ok(());
        }
        let parts = self.data().parts();
        let mut write = Write::new(DIRECTORY);
        for due in old {
            write.del::<DueRow>(DIRECTORY, &(due.at_ms, due.id.clone()));
            let Some((delayed, ended_at)) = due.ended else { continue };
            if ended_at.saturating_add(KEEP_MS) > due.at_ms {
                continue;
            }
            let part: Part = parts.user(&due.owner);
            write.del::<DelayedEndRow>(part, &due.id);
            write.del::<DelayedContentRow>(part, &due.id);
            write.del::<DelayedStickyRow>(part, &due.id);
            write.del::<DelayOwnerRow>(self.place_of(&due.id), &due.id);
            if let Some(txn) = delayed.txn {
                write.del::<DelayTxnRow>(part, &txn);
            }
        }
        self.data().commit(write).await?;
        Ok(())
    }
}

/// Whether it may work in a moment.
fn is_temporary(error: &RoomsError) -> bool {
    let of_the_store = |error: &DataError| {
        matches!(
            error,
            DataError::Unavailable(_) | DataError::DiskFull | DataError::Conflict { .. }
        )
    };
    match error {
        RoomsError::Data(error) => of_the_store(error),
        RoomsError::Accounts(blaupause_accounts::AccountsError::Data(error)) => of_the_store(error),
        _ => false,
    }
}

/// What the owner is told. The inside is not for them.
fn said(error: &RoomsError) -> String {
    match error {
        RoomsError::Data(_) | RoomsError::Accounts(_) => "the event could not be sent".to_owned(),
        other => other.to_string(),
    }
}

impl From<&RoomsError> for DelayFailure {
    fn from(error: &RoomsError) -> Self {
        use blaupause_graph::Refusal;
        match error {
            RoomsError::NotJoined
            | RoomsError::Forbidden(_)
            | RoomsError::OnlyOwn
            | RoomsError::InviteBlocked(_)
            | RoomsError::Refused(Refusal::NotAllowed(_)) => Self::NotAllowed,
            RoomsError::RoomUnknown | RoomsError::EventUnknown | RoomsError::NotFound(_) => {
                Self::NotFound
            }
            RoomsError::Refused(Refusal::TooLarge { .. }) => Self::TooLarge,
            RoomsError::BadContent(_)
            | RoomsError::Invalid(_)
            | RoomsError::BadAlias(_)
            | RoomsError::Refused(Refusal::Malformed(_)) => Self::BadContent,
            _ => Self::Other,
        }
    }
}
