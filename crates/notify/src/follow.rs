//! What happens in rooms becomes notifications: each new event is judged by the rules of everybody
//! whose pushers are to tell of it.
//!
//! The follower reads the log behind a stored cursor. Notifications, the note that a person's
//! pushers have something to do, and the cursor are one batch, so that none is lost or made twice.
//! What it writes for one event is the same whenever it does it, so a room whose people do not fit
//! into one batch may take several. Where there was nothing to write the cursor is only remembered:
//! after a crash those events are judged again.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use blaupause_data::{Change, DIRECTORY, DataError, Event, Part, StreamPos, Write, together};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::{
    Notify, NotifyError,
    audience::invited_by,
    judge::Judgement,
    rows::{NotificationRow, NotifiedRow, PushDebtRow, StoredNotification},
};

/// Name of the cursor.
const FOLLOWER: &str = "notify";
/// Changes read at once.
const CHANGES_MAX: u32 = 500;
/// People whose rules are asked side by side, sharing their reads.
const PEOPLE_AT_ONCE: usize = 500;
/// Operations after which a batch is committed; a batch may have 5,000.
const BATCH_OPS: usize = 3_000;
/// Positions after which the cursor is stored although there was nothing to write: what lies before
/// it can be forgotten.
const ADVANCE: u64 = 1_000;
/// Old notifications are looked for at least so often, in milliseconds.
const LOOK_MS: u64 = 10 * 60 * 1_000;
/// How long to wait after a failure, in milliseconds.
const RETRY_MS: u64 = 5_000;
/// One day in milliseconds.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A batch that grows, and who has to be woken when it is durable.
struct Pad {
    write: Write,
    woken: BTreeMap<OwnedUserId, StreamPos>,
    /// Rooms in which something is unread now.
    unread: Vec<(OwnedUserId, OwnedRoomId)>,
}

impl Pad {
    fn new() -> Self {
        Self { write: Write::new(Part::slot(1)), woken: BTreeMap::new(), unread: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.write.is_empty() && self.woken.is_empty()
    }
}

/// People who were noted as notified, on one day: the note need not be written again.
#[derive(Default)]
pub(crate) struct NotedToday {
    day: u64,
    people: HashSet<Part>,
}

impl NotedToday {
    /// Whether it is the person's first notification of the day.
    fn is_first(&mut self, day: u64, user: Part) -> bool {
        if self.day != day {
            self.day = day;
            self.people.clear();
        }
        self.people.insert(user)
    }
}

impl Notify {
    /// Follow the log until the server stops.
    pub async fn run_follower(&self) {
        let news = Arc::new(tokio::sync::Notify::new());
        let wake = Arc::clone(&news);
        self.data().feed().follow_visible(Box::new(move |_, changes| {
            if changes.iter().any(concerns) {
                wake.notify_one();
            }
        }));
        let stop = self.data().env().stop().clone();
        let mut swept_on = 0;
        loop {
            let pause = match self.follow_and_forget(&mut swept_on).await {
                Ok(()) => LOOK_MS,
                Err(error) => {
                    tracing::warn!(%error, "notifications are behind");
                    RETRY_MS
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = news.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            }
        }
    }

    async fn follow_and_forget(&self, swept_on: &mut u64) -> Result<(), NotifyError> {
        self.follow().await?;
        let today = self.data().env().now_millis() / DAY_MS;
        if *swept_on != today {
            self.forget_old_notifications().await?;
            *swept_on = today;
        }
        Ok(())
    }

    /// Take note of everything up to the end of the log.
    ///
    /// # Errors
    /// The store cannot be read or written. What is not done is done the next time.
    pub async fn follow(&self) -> Result<(), NotifyError> {
        self.load_pusher_index().await?;
        let mut stored = self.data().cursor(FOLLOWER).await?;
        if stored == StreamPos(0) {
            // The first start of a server that knows notifications: what was said before is no
            // news to anybody.
            return self.begin().await;
        }
        let mut cursor = stored.max(StreamPos(self.0.seen.load(Relaxed)));
        loop {
            let changes = self.data().log_after(cursor, CHANGES_MAX).await?;
            let Some((last, _)) = changes.last() else { return Ok(()) };
            cursor = *last;
            let pad = self.take_note(&changes).await?;
            if !pad.is_empty() || cursor.0 - stored.0 >= ADVANCE {
                self.commit_pad(pad, Some(cursor)).await?;
                stored = cursor;
            }
            self.0.seen.store(cursor.0, Relaxed);
        }
    }

    async fn begin(&self) -> Result<(), NotifyError> {
        let mut write = Write::new(Part::slot(1));
        // A new store has a position of its own before anything was said.
        write.cursor(FOLLOWER, self.data().position().max(StreamPos(1)));
        self.data().commit(write).await?;
        Ok(())
    }

    /// What is to be written because of changes. Part of it may have been written already.
    async fn take_note(&self, changes: &[(StreamPos, Change)]) -> Result<Pad, NotifyError> {
        let parts = self.data().parts();
        let wanted = changes.iter().filter_map(|(_, change)| match change {
            Change::Event { room, no } => Some((parts.room(room), *no)),
            _ => None,
        });
        let wanted: Vec<_> = wanted.collect();
        let mut events = self.data().events(&wanted).await?.into_iter();
        let mut pad = Pad::new();
        for (pos, change) in changes {
            match change {
                Change::Event { room, .. } => {
                    if let Some(event) = events.next().flatten() {
                        self.note_event(room, &event, *pos, &mut pad).await?;
                    }
                }
                // What is unread may have changed: the badge of the person's other devices.
                Change::Receipt { user, .. }
                | Change::Unread { user, .. }
                | Change::Membership { user, .. }
                    if self.has_pushers(user) =>
                {
                    pad.woken.insert(user.clone(), *pos);
                }
                _ => {}
            }
        }
        Ok(pad)
    }

    async fn note_event(
        &self,
        room: &OwnedRoomId,
        event: &Arc<Event>,
        pos: StreamPos,
        pad: &mut Pad,
    ) -> Result<(), NotifyError> {
        let stored = &event.stored;
        if stored.rejected || stored.soft_failed || stored.redacted_by.is_some() {
            return Ok(());
        }
        // Whoever says something has read what was said before it.
        if self.has_pushers(&event.sender) {
            pad.woken.insert(event.sender.clone(), pos);
        }
        let people = self.people_in(room).await?;
        let people = people.iter().map(|user| &**user);
        let invited = invited_by(event).filter(|user| self.data().is_local(user));
        let people: Vec<&UserId> =
            people.chain(invited).filter(|user| self.has_pushers(user)).collect();
        for people in people.chunks(PEOPLE_AT_ONCE) {
            let judged = people.iter().map(|user| self.judge_for(user, room, event));
            let judged = self.data().in_waves(together(judged)).await;
            for (user, judgement) in people.iter().zip(judged) {
                let judgement = judgement?;
                if judgement.notify {
                    self.write_notification(user, room, event, pos, &judgement, pad);
                }
            }
            if pad.write.len() > BATCH_OPS {
                let full = std::mem::replace(pad, Pad::new());
                self.commit_pad(full, None).await?;
            }
        }
        Ok(())
    }

    async fn judge_for(
        &self,
        user: &UserId,
        room: &RoomId,
        event: &Event,
    ) -> Result<Judgement, NotifyError> {
        match self.judge_in(user, room, event.stored.state_after).await? {
            Some(judge) => Ok(judge.judge(event).await),
            None => Ok(Judgement::default()),
        }
    }

    fn write_notification(
        &self,
        user: &UserId,
        room: &OwnedRoomId,
        event: &Event,
        pos: StreamPos,
        judgement: &Judgement,
        pad: &mut Pad,
    ) {
        let Some(place) = event.place else { return };
        let part = self.data().parts().user(user);
        let now = self.data().env().now_millis();
        let notification = StoredNotification {
            room_id: room.clone(),
            no: event.no,
            at_ms: now,
            highlight: judgement.highlight,
            actions: judgement.actions.to_string(),
        };
        pad.write.put::<NotificationRow>(part, &place, &notification);
        let day = now / DAY_MS;
        if self.0.noted_today.lock().is_first(day, part) {
            pad.write.put::<NotifiedRow>(DIRECTORY, &(day, part), &user.to_owned());
        }
        pad.woken.insert(user.to_owned(), pos);
        pad.unread.push((user.to_owned(), room.clone()));
    }

    /// Make what was noted durable, then wake those who deliver it.
    async fn commit_pad(&self, mut pad: Pad, cursor: Option<StreamPos>) -> Result<(), NotifyError> {
        for (user, pos) in &pad.woken {
            let part = self.data().parts().user(user);
            pad.write.put_version::<PushDebtRow>(DIRECTORY, &part, pos.0.max(1), user);
        }
        if let Some(cursor) = cursor {
            pad.write.cursor(FOLLOWER, cursor);
        }
        self.data().commit(pad.write).await.inspect_err(|_| {
            // Not written: it has to be written with the next one.
            *self.0.noted_today.lock() = NotedToday::default();
        })?;
        for (user, room) in &pad.unread {
            self.0.badges.note(user, room);
        }
        for user in pad.woken.into_keys() {
            self.0.queue.push(user, 0);
        }
        Ok(())
    }
}

fn concerns(change: &Change) -> bool {
    matches!(change, Change::Event { .. } | Change::Receipt { .. } | Change::Unread { .. })
}

impl Notify {
    /// Forget notifications that are older than anybody scrolls back. Called once a day or so.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn forget_old_notifications(&self) -> Result<(), DataError> {
        /// How long notifications are kept: after a day they are not delivered any more.
        const KEEP_DAYS: u64 = 2;
        /// People, and notifications of one of them, that are looked at at once.
        const ROWS_MAX: u32 = 1_000;
        let now = self.data().env().now_millis();
        let (oldest_day, oldest_ms) =
            ((now / DAY_MS).saturating_sub(KEEP_DAYS), now.saturating_sub(KEEP_DAYS * DAY_MS));
        loop {
            let noted = self.data().list::<NotifiedRow>(DIRECTORY, &(), ROWS_MAX).await?.rows;
            let noted: Vec<_> =
                noted.into_iter().filter(|((day, _), _)| *day < oldest_day).collect();
            if noted.is_empty() {
                return Ok(());
            }
            for (key, _) in noted {
                loop {
                    let page = self.data().list::<NotificationRow>(key.1, &(), ROWS_MAX).await?;
                    let old = page.rows.iter().filter(|(_, row)| row.at_ms < oldest_ms);
                    let mut write = Write::new(DIRECTORY);
                    for (place, _) in old {
                        write.del::<NotificationRow>(key.1, place);
                    }
                    let is_done = write.len() < ROWS_MAX as usize;
                    if is_done {
                        write.del::<NotifiedRow>(DIRECTORY, &key);
                    }
                    self.data().commit(write).await?;
                    if is_done {
                        break;
                    }
                }
            }
        }
    }
}
