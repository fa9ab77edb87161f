//! Which members a device was already told about (spec: client-server API, "Lazy-loading room
//! members").
//!
//! An answer may get lost, and the client asks again with the same token. So what was told is kept
//! by the token that the client has when it got it: the answer to a token is the same, however
//! often it is given.

use std::{collections::HashMap, num::NonZeroUsize, sync::Arc};

use blaupause_data::Part;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedUserId};

use crate::SyncToken;

/// Devices that are remembered. Forgetting one costs repeated member events.
const DEVICES_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("not zero");
/// Answers of a device that it may be at: the last one, the one before if that got lost, and those
/// to requests that it gave up.
const ANSWERS_MAX: usize = 4;
/// Rooms of one device in which members are remembered.
const ROOMS_MAX: usize = 1_000;
/// Members remembered for one device and room.
pub(crate) const MEMBERS_MAX: usize = 500;

/// Members told of one room: their partitions, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members(Arc<Vec<Part>>);

impl Members {
    pub(crate) fn contains(&self, member: Part) -> bool {
        self.0.binary_search(&member).is_ok()
    }

    /// With these, too. Beyond a limit what was told before is forgotten.
    pub(crate) fn and(&self, more: &[Part], max: usize) -> Self {
        if more.iter().all(|member| self.contains(*member)) {
            return self.clone();
        }
        let known = if self.0.len() + more.len() > max { &[] } else { self.0.as_slice() };
        let mut members = [known, more].concat();
        members.sort_unstable();
        members.dedup();
        Self(Arc::new(members))
    }

    /// Those who are in both.
    fn both(&self, other: &Self) -> Self {
        if self == other {
            return self.clone();
        }
        Self(Arc::new(self.0.iter().copied().filter(|member| other.contains(*member)).collect()))
    }
}

/// Members told, by room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<HashMap<Part, Members>>);

impl Told {
    pub(crate) fn of(&self, room: Part) -> Members {
        self.0.get(&room).cloned().unwrap_or_default()
    }

    /// With what was told of some rooms now.
    pub(crate) fn with(&self, rooms: Vec<(Part, Members)>) -> Self {
        let rooms: Vec<_> =
            rooms.into_iter().filter(|(room, members)| self.of(*room) != *members).collect();
        if rooms.is_empty() {
            return self.clone();
        }
        let mut all =
            if self.0.len() + rooms.len() > ROOMS_MAX { HashMap::new() } else { (*self.0).clone() };
        all.extend(rooms);
        Self(Arc::new(all))
    }

    /// What both say was told.
    fn both(&self, other: &Self) -> Self {
        if Arc::ptr_eq(&self.0, &other.0) {
            return self.clone();
        }
        let rooms = self.0.iter().filter_map(|(room, members)| {
            other.0.get(room).map(|others| (*room, members.both(others)))
        });
        Self(Arc::new(rooms.collect()))
    }
}

type Key = (OwnedUserId, OwnedDeviceId);

/// In memory only: what is forgotten is sent again.
pub(crate) struct SentMembers(Mutex<LruCache<Key, Vec<(SyncToken, Told)>>>);

impl SentMembers {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(DEVICES_MAX)))
    }

    /// What a device knows at a token; nothing, if it starts or was forgotten.
    pub(crate) fn at(&self, key: &Key, token: Option<SyncToken>) -> Told {
        let mut devices = self.0.lock();
        let known = token.and_then(|token| {
            devices.get(key)?.iter().find(|(at, _)| *at == token).map(|(_, told)| told.clone())
        });
        known.unwrap_or_default()
    }

    /// What a device at `from` will know when it has the answer that leads to `to`.
    pub(crate) fn note(&self, key: Key, from: Option<SyncToken>, to: SyncToken, told: Told) {
        let mut devices = self.0.lock();
        let answers = devices.get_or_insert_mut(key, Vec::new);
        if let Some((_, known)) = answers.iter_mut().find(|(at, _)| *at == to) {
            // Two answers lead to the same token: which one the client got nobody knows.
            *known = known.both(&told);
            return;
        }
        answers.push((to, told));
        if answers.len() > ANSWERS_MAX {
            // Keep what this answer starts from: it may get lost.
            let oldest = answers.iter().position(|(at, _)| Some(*at) != from);
            answers.remove(oldest.unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use blaupause_data::StreamPos;
    use ruma::{device_id, user_id};

    use super::*;

    fn token(pos: u64) -> SyncToken {
        SyncToken { pos: StreamPos(pos), boot: 1, passing: 0, sticky: None }
    }

    fn key() -> Key {
        (user_id!("@a:x").to_owned(), device_id!("D").to_owned())
    }

    fn told(members: &[u64]) -> Told {
        let members: Vec<_> = members.iter().map(|member| Part(*member)).collect();
        Told::default().with(vec![(Part(1), Members::default().and(&members, 10))])
    }

    #[test]
    fn a_token_keeps_what_was_told_before_it() {
        let sent = SentMembers::new();
        sent.note(key(), None, token(1), told(&[5]));
        let lost = sent.at(&key(), Some(token(1)));
        sent.note(key(), Some(token(1)), token(2), lost.with(vec![]));
        let again = sent.at(&key(), Some(token(1)));
        assert!(again.of(Part(1)).contains(Part(5)));
        assert!(!again.of(Part(1)).contains(Part(6)));
    }

    #[test]
    fn of_two_answers_with_one_token_only_what_both_told_counts() {
        let sent = SentMembers::new();
        sent.note(key(), None, token(1), told(&[5, 6]));
        sent.note(key(), None, token(1), told(&[6, 7]));
        let known = sent.at(&key(), Some(token(1))).of(Part(1));
        assert_eq!([5, 6, 7].map(|member| known.contains(Part(member))), [false, true, false]);
    }

    #[test]
    fn an_unknown_token_knows_nothing() {
        let sent = SentMembers::new();
        sent.note(key(), None, token(1), told(&[5]));
        assert!(!sent.at(&key(), Some(token(9))).of(Part(1)).contains(Part(5)));
        assert!(!sent.at(&key(), None).of(Part(1)).contains(Part(5)));
    }

    #[test]
    fn the_answer_that_a_retry_starts_from_is_not_forgotten() {
        let sent = SentMembers::new();
        sent.note(key(), None, token(1), told(&[5]));
        for pos in 2..20 {
            sent.note(key(), Some(token(1)), token(pos), told(&[5, 6]));
        }
        assert!(sent.at(&key(), Some(token(1))).of(Part(1)).contains(Part(5)));
    }

    #[test]
    fn beyond_the_limit_members_are_told_again() {
        let full = Members::default().and(&[Part(1), Part(2)], 2);
        let next = full.and(&[Part(3)], 2);
        assert!(!next.contains(Part(1)) && next.contains(Part(3)));
    }
}
