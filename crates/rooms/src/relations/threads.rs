//! `GET /rooms/{roomId}/threads`.

use std::{
    collections::{HashMap, HashSet},
    ops::Bound,
    sync::Arc,
};

use blaupause_data::{Event, Order, Place, ReadSet, rows::RelationRow};
use blaupause_graph::EventNo;
use ruma::{OwnedEventId, api::Direction};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    RoomsError,
    read::{RoomAccess, page_limit, parse_gap},
    relates::relation_in,
};

/// Threads that are given when the client does not say how many.
const LIMIT_DEFAULT: u64 = 20;
/// Timeline entries that one request looks at. Beyond that the answer may be short, or empty,
/// with a token to go on from.
const LOOK_MAX: usize = 2_000;
/// Timeline entries that are looked at in one go.
const LOOK_STEP: usize = 500;
/// Replies behind the page's start that are looked at to see whether a thread was given before.
const LATER_REPLIES_MAX: u32 = 20;

const THREAD: &str = "m.thread";

/// Which threads.
#[derive(Clone, Debug, Default)]
pub struct ThreadsQuery {
    /// Only threads that the reader took part in.
    pub participated: bool,
    /// Cut to 1…100.
    pub limit: Option<u64>,
    pub from: Option<String>,
}

/// Thread roots, the thread with the newest reply first.
#[derive(Debug)]
pub struct Threads {
    pub chunk: Vec<Box<RawValue>>,
    pub next_batch: Option<String>,
}

/// A reply and the root that it names.
struct Reply {
    place: Place,
    root: OwnedEventId,
}

impl RoomAccess {
    /// The threads of the room.
    ///
    /// # Errors
    /// [`RoomsError::Invalid`] if the token is not one of ours.
    pub async fn threads(&self, query: &ThreadsQuery) -> Result<Threads, RoomsError> {
        let start = query.from.as_deref().map(parse_gap).transpose()?;
        let mut from = start.unwrap_or_else(|| self.newest_gap());
        let limit = page_limit(query.limit.unwrap_or(LIMIT_DEFAULT)).max(1);
        let mut seen = HashSet::new();
        let mut threads = Threads { chunk: Vec::new(), next_batch: None };
        for _ in 0..LOOK_MAX / LOOK_STEP {
            let (replies, next) = self.replies_before(from).await?;
            let new: Vec<_> =
                replies.into_iter().filter(|reply| seen.insert(reply.root.clone())).collect();
            for (place, json) in self.roots(new, start, query.participated).await? {
                if threads.chunk.len() == limit {
                    return Ok(threads);
                }
                threads.chunk.push(json);
                threads.next_batch = Some(place.to_token());
            }
            threads.next_batch = next.map(Place::to_token);
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        Ok(threads)
    }

    /// Replies in threads that the reader may see, newest first, and the gap to go on from.
    async fn replies_before(&self, from: Place) -> Result<(Vec<Reply>, Option<Place>), RoomsError> {
        let entries = self.entries(from, None, Direction::Backward, LOOK_STEP).await?;
        let next = entries.rows.last().filter(|_| entries.more).map(|(place, _)| *place);
        let numbers: Vec<_> = entries.rows.iter().map(|(_, entry)| (self.part, entry.no)).collect();
        let events = self.rooms.data().events(&numbers).await?;
        let replies: Vec<_> = events
            .into_iter()
            .flatten()
            .filter_map(|event| Some((root_of(&event)?, event)))
            .collect();
        let shown = self.countable(replies.iter().map(|(_, event)| event)).await?;
        let replies = replies.into_iter().filter(|(_, event)| shown.contains(&event.no));
        let replies = replies.filter_map(|(root, event)| Some(Reply { place: event.place?, root }));
        Ok((replies.collect(), next))
    }

    /// Those replies that count for this reader.
    async fn countable<'e>(
        &self,
        replies: impl Iterator<Item = &'e Arc<Event>> + Clone,
    ) -> Result<HashSet<EventNo>, RoomsError> {
        let ignored = self.rooms.accounts().ignored_users(&self.reader.user).await?;
        let until = self.joined_until();
        let lens = self.rooms.lens(&self.reader.user, self.part, until, replies.clone()).await?;
        Ok(replies
            .filter(|reply| self.reaches(reply) && lens.sees(reply))
            .filter(|reply| !ignored.contains(&reply.sender))
            .map(|reply| reply.no)
            .collect())
    }

    /// The roots of threads as the reader sees them, in the order of the replies given.
    async fn roots(
        &self,
        replies: Vec<Reply>,
        start: Option<Place>,
        participated: bool,
    ) -> Result<Vec<(Place, Box<RawValue>)>, RoomsError> {
        let ids: Vec<_> = replies.iter().map(|reply| reply.root.clone()).collect();
        let mut roots = Vec::new();
        for (reply, root) in replies.iter().zip(self.events_by_id(&ids).await?) {
            roots.extend(root.map(|root| (reply.place, root.event)));
        }
        if let Some(start) = start {
            let numbers: Vec<_> = roots.iter().map(|(_, root)| root.no).collect();
            let given = self.given_before(&numbers, start).await?;
            roots.retain(|(_, root)| !given.contains(&root.no));
        }
        let (places, events): (Vec<_>, Vec<_>) = roots.into_iter().unzip();
        let ignored = self.rooms.accounts().ignored_users(&self.reader.user).await?;
        let json = self.serialize_page(&events).await?;
        let told = places.into_iter().zip(&events).zip(json);
        Ok(told
            .filter(|(_, json)| !participated || reader_took_part(json))
            .map(|((place, root), json)| match ignored.contains(&root.sender) {
                true => (place, without_content(&json)),
                false => (place, json),
            })
            .collect())
    }

    /// Threads that have a reply at or behind a gap: an earlier page gave them.
    async fn given_before(
        &self,
        roots: &[EventNo],
        start: Place,
    ) -> Result<HashSet<EventNo>, RoomsError> {
        let mut want = ReadSet::new();
        let slots: Vec<_> = roots
            .iter()
            .map(|root| {
                let slot = want.range::<RelationRow>(
                    self.part,
                    Bound::Included(&(*root, THREAD.to_owned(), start)),
                    Bound::Excluded(&(*root, THREAD.to_owned(), Place::END)),
                    Order::Forward,
                    LATER_REPLIES_MAX,
                );
                (*root, slot)
            })
            .collect();
        let got = want.run(self.rooms.data()).await?;
        let mut later: HashMap<EventNo, EventNo> = HashMap::new();
        for (root, slot) in slots {
            let rows = got.many(slot)?.rows.into_iter();
            later.extend(rows.map(|(_, reply)| (reply.value, root)));
        }
        let replies = self.load(later.keys().copied().collect()).await?;
        let shown = self.countable(replies.iter()).await?;
        Ok(later.into_iter().filter(|(no, _)| shown.contains(no)).map(|(_, root)| root).collect())
    }
}

/// The root of the thread that an event is a reply in.
pub(crate) fn root_of(event: &Event) -> Option<OwnedEventId> {
    // Most events are in no thread: look before parsing.
    if event.state_key.is_some() || !event.stored.pdu.contains(THREAD) {
        return None;
    }
    let (rel_type, root) = relation_in(event.content())?;
    (rel_type == THREAD).then_some(root)
}

fn reader_took_part(json: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Root {
        unsigned: Unsigned,
    }
    #[derive(Deserialize)]
    struct Unsigned {
        #[serde(rename = "m.relations")]
        relations: Relations,
    }
    #[derive(Deserialize)]
    struct Relations {
        #[serde(rename = "m.thread")]
        thread: Thread,
    }
    #[derive(Deserialize)]
    struct Thread {
        current_user_participated: bool,
    }
    serde_json::from_str::<Root>(json.get())
        .is_ok_and(|root| root.unsigned.relations.thread.current_user_participated)
}

/// The root of a thread whose sender the reader ignores is shown as if it were redacted
/// (client-server API, `GET /rooms/{roomId}/threads`).
fn without_content(json: &RawValue) -> Box<RawValue> {
    let parsed = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json.get());
    let mut event = parsed.unwrap_or_default();
    event.insert("content".to_owned(), serde_json::json!({}));
    serde_json::value::to_raw_value(&event).expect("a map is JSON")
}
