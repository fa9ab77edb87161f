//! Thread subscriptions (MSC4306): which threads somebody wants to hear of. Clients subscribe when
//! their user writes in a thread or is mentioned there; push rules ask whether they did.
//!
//! A subscription lies twice in its user's partition: by room and thread, and by the position at
//! which it changed, for sync (MSC4308). Somebody who unsubscribed keeps the row: it says that what
//! was written before must not subscribe them again.

use std::{collections::HashSet, fmt, ops::Bound};

use blaupause_data::{
    Change, DataError, Found, Many, NOW, Order, Page, Part, ReadSet, StreamPos, Write,
};
use blaupause_rooms::{Reader, RoomAccess};
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId, UserId};

use crate::{
    Notify, NotifyError,
    counts::thread_of,
    rows::{StoredSubscription, Subscribed, ThreadSubscriptionLogRow, ThreadSubscriptionRow},
};

/// Threads of one room that one user subscribed to, or unsubscribed from.
const PER_ROOM_MAX: u32 = 2_000;
/// Changes that are told at once.
const CHANGES_MAX: u32 = 500;
/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 50;
/// How often a batch whose base changed is tried again.
const ATTEMPTS_MAX: usize = 5;

/// A subscription that began, changed or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionChange {
    pub room: OwnedRoomId,
    pub root: OwnedEventId,
    /// Whether a client made it by itself; `None`: it ended.
    pub automatic: Option<bool>,
    /// When it changed.
    pub pos: StreamPos,
}

/// Changes in a span of the stream, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionChanges {
    pub changes: Vec<SubscriptionChange>,
    /// Where to go on, if there are more.
    pub next: Option<SubscriptionSpan>,
}

/// A span of the stream, `after < position <= upto`. As text (`t<upto>` or `t<upto>_<after>`) it is
/// the token with which clients go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionSpan {
    pub upto: StreamPos,
    /// `None`: from the beginning; what ended is not told then.
    pub after: Option<StreamPos>,
}

impl SubscriptionSpan {
    /// `None` if we cannot have given it.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse().ok().map(StreamPos);
        let text = text.strip_prefix('t').filter(|text| text.len() <= TOKEN_BYTES_MAX)?;
        match text.split_once('_') {
            None => Some(Self { upto: number(text)?, after: None }),
            Some((upto, after)) => Some(Self { upto: number(upto)?, after: Some(number(after)?) }),
        }
    }
}

impl fmt::Display for SubscriptionSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.upto.0)?;
        self.after.map_or(Ok(()), |after| write!(f, "_{}", after.0))
    }
}

impl Notify {
    /// Whether the user subscribed to a thread: `Some(automatic)`.
    ///
    /// # Errors
    /// The reader may not see the room or the thread's root; or the store failed.
    pub async fn thread_subscription(
        &self,
        reader: &Reader,
        room: &RoomId,
        root: &EventId,
    ) -> Result<Option<bool>, NotifyError> {
        self.rooms().access(reader, room).await?.event(root).await?;
        let found = self.stored_subscription(&reader.user, room, root).await?;
        Ok(found.and_then(|found| found.value.state.automatic()))
    }

    /// Subscribe to a thread. `cause`: the event in the thread because of which a client does it by
    /// itself. What a person did stays as it is then. Durable when this returns.
    ///
    /// # Errors
    /// The reader may not see the room or the thread's root; the cause is not in the thread; the
    /// user unsubscribed after it; there are too many; or the store failed.
    pub async fn subscribe(
        &self,
        reader: &Reader,
        room: &RoomId,
        root: &EventId,
        cause: Option<&EventId>,
    ) -> Result<(), NotifyError> {
        let access = self.rooms().access(reader, room).await?;
        access.event(root).await?;
        let cause = match cause {
            Some(cause) => Some(in_thread(&access, root, cause).await?),
            None => None,
        };
        for _ in 0..ATTEMPTS_MAX {
            let found = self.stored_subscription(&reader.user, room, root).await?;
            let before = found.as_ref().map(|found| found.value.state);
            let state = match (before, cause) {
                (Some(Subscribed::Manually), _) | (Some(Subscribed::Automatically), Some(_)) => {
                    return Ok(());
                }
                (Some(Subscribed::Not), Some(cause))
                    if found.as_ref().is_some_and(|found| cause <= found.pos) =>
                {
                    return Err(NotifyError::UnsubscribedSince);
                }
                (_, Some(_)) => Subscribed::Automatically,
                (_, None) => Subscribed::Manually,
            };
            if found.is_none() {
                self.check_room_for_subscription(&reader.user, room).await?;
            }
            match self.put_subscription(&reader.user, room, root, found, state).await {
                Err(NotifyError::Data(DataError::Conflict { .. })) => {}
                done => return done,
            }
        }
        Err(NotifyError::Busy)
    }

    /// Unsubscribe from a thread; who has not subscribed is left as they are.
    ///
    /// # Errors
    /// The reader may not see the room or the thread's root; or the store failed.
    pub async fn unsubscribe(
        &self,
        reader: &Reader,
        room: &RoomId,
        root: &EventId,
    ) -> Result<(), NotifyError> {
        self.rooms().access(reader, room).await?.event(root).await?;
        for _ in 0..ATTEMPTS_MAX {
            let found = self.stored_subscription(&reader.user, room, root).await?;
            if found.as_ref().is_none_or(|found| found.value.state == Subscribed::Not) {
                return Ok(());
            }
            match self.put_subscription(&reader.user, room, root, found, Subscribed::Not).await {
                Err(NotifyError::Data(DataError::Conflict { .. })) => {}
                done => return done,
            }
        }
        Err(NotifyError::Busy)
    }

    /// What changed in a span, the newest first, at most `limit`. One read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn subscription_changes(
        &self,
        user: &UserId,
        span: SubscriptionSpan,
        limit: usize,
    ) -> Result<SubscriptionChanges, NotifyError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX).clamp(1, CHANGES_MAX);
        let start = span.after.unwrap_or_default();
        let mut want = ReadSet::new();
        let rows = want.range::<ThreadSubscriptionLogRow>(
            self.data().parts().user(user),
            Bound::Excluded(&start),
            Bound::Included(&span.upto),
            Order::Backward,
            limit,
        );
        let page = want.run(self.data()).await?.many(rows)?;
        let oldest = page.rows.last().map(|(pos, _)| *pos).filter(|_| page.more);
        let next = oldest.map(|oldest| SubscriptionSpan {
            upto: StreamPos(oldest.0.saturating_sub(1)),
            after: span.after,
        });
        let changes = page.rows.into_iter().map(|(pos, row)| SubscriptionChange {
            automatic: row.value.state.automatic(),
            room: row.value.room_id,
            root: row.value.root,
            pos,
        });
        // Who starts has nothing that could have ended.
        let changes = changes.filter(|change| span.after.is_some() || change.automatic.is_some());
        Ok(SubscriptionChanges { changes: changes.collect(), next })
    }

    /// Ask for the threads of a room that the user subscribed to.
    pub(crate) fn ask_subscribed_threads(
        &self,
        want: &mut ReadSet,
        user: &UserId,
        room: &RoomId,
    ) -> Many<ThreadSubscriptionRow> {
        let parts = self.data().parts();
        let room = parts.room(room);
        want.prefix(parts.user(user), &room, Order::Forward, PER_ROOM_MAX)
    }

    /// The answer to [`Self::ask_subscribed_threads`].
    pub(crate) fn subscribed_threads(
        room: &RoomId,
        page: Page<ThreadSubscriptionRow>,
    ) -> HashSet<OwnedEventId> {
        let rows = page.rows.into_iter().map(|(_, row)| row.value);
        // Two rooms could have one partition: the full name decides.
        let rows = rows.filter(|row| row.room_id == room && row.state != Subscribed::Not);
        rows.map(|row| row.root).collect()
    }

    async fn stored_subscription(
        &self,
        user: &UserId,
        room: &RoomId,
        root: &EventId,
    ) -> Result<Option<Found<StoredSubscription>>, NotifyError> {
        let parts = self.data().parts();
        let key = key(parts.room(room), root);
        let found = self.data().get::<ThreadSubscriptionRow>(parts.user(user), &key).await?;
        Ok(found.filter(|found| found.value.room_id == room))
    }

    async fn check_room_for_subscription(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<(), NotifyError> {
        let parts = self.data().parts();
        let (user, room) = (parts.user(user), parts.room(room));
        let page = self.data().list::<ThreadSubscriptionRow>(user, &room, PER_ROOM_MAX).await?;
        if page.rows.len() >= PER_ROOM_MAX as usize {
            return Err(NotifyError::TooLarge("number of thread subscriptions in this room"));
        }
        Ok(())
    }

    async fn put_subscription(
        &self,
        user: &UserId,
        room: &RoomId,
        root: &EventId,
        found: Option<Found<StoredSubscription>>,
        state: Subscribed,
    ) -> Result<(), NotifyError> {
        let parts = self.data().parts();
        let part = parts.user(user);
        let key = key(parts.room(room), root);
        let value = StoredSubscription { room_id: room.to_owned(), root: root.to_owned(), state };
        let version = found.as_ref().map_or(0, |found| found.version);
        let mut write = Write::new(part);
        write.require_version::<ThreadSubscriptionRow>(part, &key, version);
        write.put_version::<ThreadSubscriptionRow>(part, &key, version + 1, &value);
        if let Some(found) = found {
            write.del::<ThreadSubscriptionLogRow>(part, &found.pos);
        }
        write.put::<ThreadSubscriptionLogRow>(part, &NOW, &value);
        // What counts as unread follows from it.
        write.change(&Change::Unread { user: user.to_owned(), room: room.to_owned() });
        self.data().commit(write).await?;
        Ok(())
    }
}

/// When the event happened because of which somebody is to be subscribed.
async fn in_thread(
    access: &RoomAccess,
    root: &EventId,
    cause: &EventId,
) -> Result<StreamPos, NotifyError> {
    let found = access.events_by_id(&[cause.to_owned()]).await?.pop().flatten();
    let found = found.ok_or(NotifyError::NotInThread)?;
    let event = found.event();
    if thread_of(event).is_none_or(|thread| thread != root) {
        return Err(NotifyError::NotInThread);
    }
    let place = event.place.and_then(|place| place.position());
    place.ok_or(NotifyError::NotInThread)
}

fn key(room: Part, root: &EventId) -> (Part, String) {
    (room, root.to_string())
}

#[cfg(test)]
mod tests;
