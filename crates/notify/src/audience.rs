//! Who is to be asked about an event: the people of this server who are in its room.

use std::{num::NonZeroUsize, sync::Arc};

use blaupause_data::{Change, Event, Member};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;

use crate::{Notify, NotifyError};

/// Rooms whose people are kept in memory (about 50 bytes a person).
const CACHED_ROOMS_MAX: NonZeroUsize = NonZeroUsize::new(2_000).expect("not zero");

type People = Arc<[OwnedUserId]>;

pub(crate) struct AudienceCache(Mutex<Cached>);

struct Cached {
    rooms: LruCache<OwnedRoomId, People>,
    /// Grows with every change of a membership.
    epoch: u64,
}

impl AudienceCache {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Cached { rooms: LruCache::new(CACHED_ROOMS_MAX), epoch: 0 }))
    }

    pub(crate) fn forget_changed(&self, change: &Change) {
        if let Change::Membership { room, .. } = change {
            let mut cached = self.0.lock();
            cached.epoch += 1;
            cached.rooms.pop(room);
        }
    }
}

impl Notify {
    /// The people of this server who are joined to a room.
    pub(crate) async fn people_in(&self, room: &RoomId) -> Result<People, NotifyError> {
        let epoch = {
            let mut cached = self.0.audience.0.lock();
            if let Some(people) = cached.rooms.get(room) {
                return Ok(Arc::clone(people));
            }
            cached.epoch
        };
        let members = self.data().members(room, Member::Join).await?.into_iter();
        let people: People = members
            .map(|member| member.user_id)
            .filter(|user| self.data().is_local(user))
            .collect();
        let mut cached = self.0.audience.0.lock();
        if cached.epoch == epoch {
            cached.rooms.put(room.to_owned(), Arc::clone(&people));
        }
        Ok(people)
    }
}

/// Who is invited by an event: they are not in the room, and hear of it.
pub(crate) fn invited_by(event: &Event) -> Option<&UserId> {
    #[derive(Deserialize)]
    struct Content {
        membership: String,
    }
    if event.kind != "m.room.member" {
        return None;
    }
    let user = <&UserId>::try_from(event.state_key.as_deref()?).ok()?;
    let content = event.content_as::<Content>()?;
    (content.membership == "invite").then_some(user)
}
