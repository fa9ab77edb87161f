//! The number on an app's icon: what is unread in all rooms.

use std::{collections::HashSet, num::NonZeroUsize};

use blaupause_data::{Member, together};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::{Notify, NotifyError};

/// Users whose rooms with something unread are kept in memory.
const CACHED_USERS_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("not zero");
/// Rooms that are counted side by side.
const ROOMS_AT_ONCE: usize = 100;

/// Rooms in which something may be unread, by user. Once all were counted, only a room with a new
/// notification can have anything.
pub(crate) struct BadgeCache(Mutex<LruCache<OwnedUserId, HashSet<OwnedRoomId>>>);

impl BadgeCache {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(CACHED_USERS_MAX)))
    }

    /// A user is about to be notified of something in a room.
    pub(crate) fn note(&self, user: &UserId, room: &RoomId) {
        if let Some(rooms) = self.0.lock().get_mut(user)
            && !rooms.contains(room)
        {
            rooms.insert(room.to_owned());
        }
    }
}

impl Notify {
    /// Unread messages of a user over all rooms, and invitations. To be asked for one user by one
    /// at a time.
    pub(super) async fn badge(&self, user: &UserId) -> Result<u64, NotifyError> {
        // Empty from here on: what is noted meanwhile is kept beside what is found.
        let known = self.0.badges.0.lock().put(user.to_owned(), HashSet::new());
        let counted = self.count_rooms(user, known).await;
        let mut cached = self.0.badges.0.lock();
        match counted {
            Ok((sum, unread)) => {
                if let Some(kept) = cached.get_mut(user) {
                    kept.extend(unread);
                }
                Ok(sum)
            }
            Err(error) => {
                cached.pop(user);
                Err(error)
            }
        }
    }

    /// The sum, and the rooms that it comes from.
    async fn count_rooms(
        &self,
        user: &UserId,
        known: Option<HashSet<OwnedRoomId>>,
    ) -> Result<(u64, Vec<OwnedRoomId>), NotifyError> {
        let rooms = match known {
            Some(rooms) => rooms,
            None => self.rooms_with_unread(user).await?,
        };
        let rooms: Vec<_> = rooms.into_iter().collect();
        let (mut sum, mut unread) = (0, Vec::new());
        for rooms in rooms.chunks(ROOMS_AT_ONCE) {
            let counts = rooms.iter().map(|room| self.unread_in(user, room));
            for (room, count) in rooms.iter().zip(self.data().in_waves(together(counts)).await) {
                let count = count?;
                if count > 0 {
                    unread.push(room.clone());
                }
                sum += count;
            }
        }
        Ok((sum, unread))
    }

    async fn unread_in(&self, user: &UserId, room: &OwnedRoomId) -> Result<u64, NotifyError> {
        let membership = self.data().membership(user, room).await?;
        match membership.map(|row| row.membership) {
            Some(Member::Join) => Ok(self.counts(user, room).await?.room(false).notify),
            Some(Member::Invite) => Ok(1),
            _ => Ok(0),
        }
    }

    /// Every room that may have something.
    async fn rooms_with_unread(&self, user: &UserId) -> Result<HashSet<OwnedRoomId>, NotifyError> {
        let rooms = self.data().rooms_of(user).await?.into_iter();
        let counts = |member| matches!(member, Member::Join | Member::Invite);
        Ok(rooms.filter(|room| counts(room.membership)).map(|room| room.value.room_id).collect())
    }
}
