//! `GET /rooms/{roomId}/threads`.

use std::{
    collections::{HashMap, HashSet},
    ops::Bound,
    sync::Arc,
};

use blaupause_data::{Event, Order, Place, ReadSet, rows::RelationRow};
use blaupause_graph::EventNo;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    RoomsError,
    read::{RoomAccess, page_limit, parse_gap},
    relates::THREAD,
    rows::{ThreadReply, ThreadReplyRow},
};

/// Threads that are given when the client does not say how many.
const LIMIT_DEFAULT: u64 = 20;
/// Replies that one request looks at. Beyond that the answer may be short, or empty, with a token
/// to go on from.
const LOOK_MAX: usize = 10_000;
/// Replies that are looked at in one go.
const LOOK_STEP: u32 = 500;
/// Newest replies of a thread that are loaded to find one that the reader may see.
const LOADED_REPLIES_MAX: usize = 20;
/// Replies behind the page's start that are looked at to see whether a thread was given before.
const LATER_REPLIES_MAX: u32 = 20;

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
        for _ in 0..LOOK_MAX / LOOK_STEP as usize {
            let (mut replies, next) = self.replies_before(from).await?;
            replies.retain(|(_, reply)| !seen.contains(&reply.root));
            let mut new = self.shown_replies(replies).await?;
            new.retain(|(_, reply)| seen.insert(reply.root));
            for some in new.chunks(limit) {
                for (place, json) in self.roots(some, start, query.participated).await? {
                    if threads.chunk.len() == limit {
                        return Ok(threads);
                    }
                    threads.chunk.push(json);
                    threads.next_batch = Some(place.to_token());
                }
            }
            threads.next_batch = next.map(Place::to_token);
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        Ok(threads)
    }

    /// Replies before a gap, newest first, and the gap to go on from. One round trip.
    async fn replies_before(
        &self,
        from: Place,
    ) -> Result<(Vec<(Place, ThreadReply)>, Option<Place>), RoomsError> {
        let last = self.last_place();
        let end = match &last {
            Some(last) if *last < from => Bound::Included(last),
            _ => Bound::Excluded(&from),
        };
        let mut want = ReadSet::new();
        let (start, order) = (Bound::<&Place>::Unbounded, Order::Backward);
        let slot = want.range::<ThreadReplyRow>(self.part, start, end, order, LOOK_STEP);
        let page = want.run(self.rooms.data()).await?.many(slot)?;
        let rows: Vec<_> = page.rows.into_iter().map(|(place, row)| (place, row.value)).collect();
        let next = rows.last().filter(|_| page.more).map(|(place, _)| *place);
        Ok((rows, next))
    }

    /// Those of the replies that count for this reader; of each thread only the newest are looked
    /// at.
    async fn shown_replies(
        &self,
        mut replies: Vec<(Place, ThreadReply)>,
    ) -> Result<Vec<(Place, ThreadReply)>, RoomsError> {
        let mut looked_at: HashMap<EventNo, usize> = HashMap::new();
        replies.retain(|(_, reply)| {
            let count = looked_at.entry(reply.root).or_default();
            *count += 1;
            *count <= LOADED_REPLIES_MAX
        });
        let events = self.load(replies.iter().map(|(_, reply)| reply.no).collect()).await?;
        let shown = self.countable(events.iter()).await?;
        replies.retain(|(_, reply)| shown.contains(&reply.no));
        Ok(replies)
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
        replies: &[(Place, ThreadReply)],
        start: Option<Place>,
        participated: bool,
    ) -> Result<Vec<(Place, Box<RawValue>)>, RoomsError> {
        let places: HashMap<EventNo, Place> =
            replies.iter().map(|(place, reply)| (reply.root, *place)).collect();
        let events = self.load(replies.iter().map(|(_, reply)| reply.root).collect()).await?;
        let until = self.joined_until();
        let lens = self.rooms.lens(&self.reader.user, self.part, until, &events).await?;
        let seen = events.into_iter().filter(|root| self.reaches(root) && lens.sees(root));
        let mut roots: Vec<_> =
            seen.filter_map(|root| Some((*places.get(&root.no)?, root))).collect();
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
