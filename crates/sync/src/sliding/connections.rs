//! What each connection was sent already.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    num::NonZeroUsize,
    sync::Arc,
};

use blaupause_data::StreamPos;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, UInt};

use super::{SlidingRequest, required::RoomConfig};
use crate::{SyncError, SyncToken, lazy::Members};

/// Connections kept in memory (a few kB each). The longest unused one goes first.
const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");
/// Answers that a client may still be at: the last one, the one before if that got lost, and those
/// to requests that it gave up while they were being answered (it asks anew with other wishes, and
/// the given-up request may be the last to end).
const ANSWERS_MAX: usize = 4;
/// Bytes of a connection's name.
const CONN_ID_BYTES_MAX: usize = 64;

type Key = (String, String, String);

/// What a client knows after an answer. Cheap to clone: most answers change little of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub token: Option<SyncToken>,
    pub rooms: Arc<HashMap<OwnedRoomId, Sent>>,
    /// Rooms of which the client knows everything up to the token, because the answer would have
    /// told it.
    pub current: Arc<HashSet<OwnedRoomId>>,
    pub list_counts: Arc<BTreeMap<String, UInt>>,
}

/// A room that the client was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Everything up to here; later, if the room is current.
    pub upto: StreamPos,
    /// With these wishes.
    pub config: Arc<RoomConfig>,
    /// Members told as they spoke (`$LAZY`). Part of the answer, because an answer may get lost.
    pub members: Members,
}

impl Known {
    /// Up to where the client knows everything of a room.
    pub(crate) fn upto(&self, room: &OwnedRoomId) -> Option<StreamPos> {
        let sent = self.rooms.get(room)?;
        let token = self.token.filter(|_| self.current.contains(room));
        Some(token.map_or(sent.upto, |token| token.pos.max(sent.upto)))
    }

    /// What the client will know after an answer up to `token` that told `told` (`None`: the room
    /// is gone) and speaks of `current`.
    pub(crate) fn after(
        &self,
        token: SyncToken,
        told: Vec<(OwnedRoomId, Option<Sent>)>,
        current: HashSet<OwnedRoomId>,
        list_counts: BTreeMap<String, UInt>,
    ) -> Self {
        let mut next = self.clone();
        next.token = Some(token);
        let left_out: Vec<_> = self.current.difference(&current).cloned().collect();
        if !told.is_empty() || !left_out.is_empty() {
            let rooms = Arc::make_mut(&mut next.rooms);
            for room in left_out {
                // From now on its own position counts.
                if let (Some(sent), Some(upto)) = (rooms.get_mut(&room), self.upto(&room)) {
                    sent.upto = upto;
                }
            }
            for (room, sent) in told {
                match sent {
                    Some(sent) => drop(rooms.insert(room, sent)),
                    None => drop(rooms.remove(&room)),
                }
            }
        }
        if *next.current != current {
            next.current = Arc::new(current);
        }
        if *next.list_counts != list_counts {
            next.list_counts = Arc::new(list_counts);
        }
        next
    }
}

/// All connections.
pub(crate) struct Connections(Mutex<LruCache<Key, Answers>>);

#[derive(Default)]
struct Answers {
    /// Number of the newest answer.
    count: u64,
    /// What the client knows after each of the newest answers.
    known: Vec<(u64, Arc<Known>)>,
}

/// A connection as one request sees it.
pub(crate) struct Connection {
    key: Key,
    /// The answer that the client has; `None` if it starts.
    at: Option<u64>,
    known: Arc<Known>,
}

impl Connection {
    pub(crate) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    pub(crate) fn is_first(&self) -> bool {
        self.at.is_none()
    }
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(CONNECTIONS_MAX)))
    }

    /// The connection that a request goes on with, or a new one.
    pub(crate) fn open(&self, request: &SlidingRequest) -> Result<Connection, SyncError> {
        let conn_id = request.body.conn_id.clone().unwrap_or_default();
        if conn_id.len() > CONN_ID_BYTES_MAX {
            return Err(SyncError::Invalid("conn_id is too long"));
        }
        let device = request.device.as_ref().map(ToString::to_string).unwrap_or_default();
        let key = (request.user.to_string(), device, conn_id);
        let Some(pos) = &request.body.pos else {
            self.0.lock().pop(&key);
            return Ok(Connection { key, at: None, known: Arc::default() });
        };
        let at: u64 = pos.parse().map_err(|_| SyncError::UnknownPos)?;
        let mut all = self.0.lock();
        let answers = all.get_mut(&key).ok_or(SyncError::UnknownPos)?;
        let found = answers.known.iter().find(|(number, _)| *number == at);
        let known = Arc::clone(&found.ok_or(SyncError::UnknownPos)?.1);
        // The client has this answer, so it will never go back behind it.
        answers.known.retain(|(number, _)| *number >= at);
        Ok(Connection { key, at: Some(at), known })
    }

    /// Note what the client knows after the answer that is about to go out; its `pos`.
    pub(crate) fn advance(&self, connection: &Connection, known: Known) -> String {
        let mut all = self.0.lock();
        let answers = all.get_or_insert_mut(connection.key.clone(), Answers::default);
        answers.count = answers.count.max(connection.at.unwrap_or(0)) + 1;
        let number = answers.count;
        answers.known.push((number, Arc::new(known)));
        if answers.known.len() > ANSWERS_MAX {
            // Keep what this request started from: its answer may get lost.
            let keep = connection.at;
            let oldest = answers.known.iter().position(|(number, _)| Some(*number) != keep);
            answers.known.remove(oldest.unwrap_or(0));
        }
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use ruma::{api::client::sync::sync_events::v5, user_id};

    use super::*;

    fn request(pos: Option<String>) -> SlidingRequest {
        let mut body = v5::Request::new();
        body.pos = pos;
        SlidingRequest { user: user_id!("@a:x").to_owned(), device: None, body }
    }

    #[test]
    fn a_lost_answer_can_be_asked_for_again() {
        let connections = Connections::new();
        let first = connections.open(&request(None)).expect("starts");
        let one = connections.advance(&first, Known::default());
        for _ in 0..5 {
            let again = connections.open(&request(Some(one.clone()))).expect("is known");
            connections.advance(&again, Known::default());
        }
    }

    #[test]
    fn a_request_that_was_given_up_does_not_cost_the_answer_to_the_next() {
        let connections = Connections::new();
        let first = connections.open(&request(None)).expect("starts");
        let one = connections.advance(&first, Known::default());
        let given_up = connections.open(&request(Some(one.clone()))).expect("is known");
        let anew = connections.open(&request(Some(one))).expect("is known");
        let arrived = connections.advance(&anew, Known::default());
        connections.advance(&given_up, Known::default());
        connections.open(&request(Some(arrived))).expect("is known");
    }

    #[test]
    fn an_answer_before_one_that_arrived_is_unknown() {
        let connections = Connections::new();
        let first = connections.open(&request(None)).expect("starts");
        let one = connections.advance(&first, Known::default());
        let second = connections.open(&request(Some(one.clone()))).expect("is known");
        let two = connections.advance(&second, Known::default());
        connections.open(&request(Some(two))).expect("is known");
        assert!(matches!(connections.open(&request(Some(one))), Err(SyncError::UnknownPos)));
    }

    #[test]
    fn a_position_that_was_never_given_is_unknown() {
        let connections = Connections::new();
        for pos in ["", "x", "5", "-1"] {
            let opened = connections.open(&request(Some(pos.to_owned())));
            assert!(matches!(opened, Err(SyncError::UnknownPos)), "{pos}");
        }
    }
}
