//! What others said about an event: edits, threads, references (client-server API, "Aggregations
//! of child events").

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::Arc,
};

use blaupause_data::{Data, Event, Many, Order, Part, ReadSet, StreamPos, rows::RelationRow};
use blaupause_graph::EventNo;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::OwnedUserId;
use serde::Deserialize;

use super::visibility::Lens;
use crate::{Rooms, RoomsError};

pub(crate) const REPLACE: &str = "m.replace";
pub(crate) const THREAD: &str = "m.thread";
pub(crate) const REFERENCE: &str = "m.reference";

/// Unused event numbers between two events of a page that one scan of relations bridges.
const RUN_GAP_MAX: u32 = 32;
/// Relations of a run of events that are read in one scan. Where there are more the events of the
/// run are asked for one by one.
const RUN_ROWS_MAX: u32 = 1_000;
/// Newest edits of an event that are looked at to find the latest valid one.
const EDITS_MAX: usize = 20;
/// Replies of a thread that are counted; a longer thread counts as this long.
const THREAD_COUNTED_MAX: u32 = 1_000;
/// Newest replies of a thread whose senders are looked at: for whether the reader took part, and
/// to leave out those whom they ignore.
const THREAD_LOADED_MAX: usize = 200;
/// References to an event that are listed.
const REFERENCES_MAX: usize = 100;
/// Children that are loaded for all events of a page. Where there are more each event has its
/// share, and at least [`SHARE_MIN`] of each kind.
const PAGE_CHILDREN_MAX: usize = 4_000;
const SHARE_MIN: usize = 5;
/// Pages whose families are remembered (some 100 bytes each, unless many events are related).
const FAMILIES_MAX: NonZeroUsize = NonZeroUsize::new(2_000).expect("not zero");

/// The children of one event that matter for its bundle, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Children {
    pub edits: Vec<EventNo>,
    /// The newest replies in the event's thread.
    pub thread: Vec<EventNo>,
    /// All replies, the newest included.
    pub thread_count: usize,
    pub references: Vec<EventNo>,
}

impl Children {
    fn add(&mut self, rel_type: &str, no: EventNo) {
        match rel_type {
            REPLACE => self.edits.push(no),
            THREAD => {
                self.thread.push(no);
                self.thread_count += 1;
            }
            REFERENCE => self.references.push(no),
            // Annotations and what we do not know are not aggregated.
            _ => {}
        }
    }

    fn bounded(mut self) -> Self {
        keep_newest(&mut self.edits, EDITS_MAX);
        keep_newest(&mut self.thread, THREAD_LOADED_MAX);
        self.references.truncate(REFERENCES_MAX);
        self
    }

    fn cut_to(&mut self, share: usize) {
        keep_newest(&mut self.edits, share);
        keep_newest(&mut self.thread, share);
        self.references.truncate(share);
    }

    /// Events that have to be at hand to make the bundle.
    pub(crate) fn needed(&self) -> impl Iterator<Item = EventNo> {
        self.edits.iter().chain(&self.thread).chain(&self.references).copied()
    }
}

fn keep_newest(list: &mut Vec<EventNo>, max: usize) {
    list.drain(..list.len().saturating_sub(max));
}

/// Keep what is loaded for a page within bounds, however many children its events have.
fn share_out(family: &mut Family) {
    let all: usize = family.values().map(|children| children.needed().count()).sum();
    if all <= PAGE_CHILDREN_MAX {
        return;
    }
    // Three kinds each.
    let share = (PAGE_CHILDREN_MAX / (3 * family.len().max(1))).max(SHARE_MIN);
    for children in family.values_mut() {
        children.cut_to(share);
    }
}

/// Children by event.
pub(crate) type Family = HashMap<EventNo, Children>;

/// Families of pages that were told lately: a page goes to every member who is there.
pub(crate) struct Families(Mutex<LruCache<PageKey, (StreamPos, Arc<Family>)>>);

/// A room, and events of it.
type PageKey = (Part, Vec<EventNo>);

impl Default for Families {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(FAMILIES_MAX)))
    }
}

impl Families {
    /// The children of these events, if nothing was appended to the room since they were read.
    pub(crate) fn get(&self, data: &Data, part: Part, events: &[EventNo]) -> Option<Arc<Family>> {
        let version = data.newest_event(part)?;
        let mut known = self.0.lock();
        let (read_at, family) = known.get(&(part, events.to_vec()))?;
        (*read_at == version).then(|| Arc::clone(family))
    }

    /// `version`: the room's newest event, as it was before the children were read.
    pub(crate) fn put(&self, part: Part, events: Vec<EventNo>, version: StreamPos, family: Family) {
        self.0.lock().put((part, events), (version, Arc::new(family)));
    }
}

/// Scans that are under way.
pub(crate) struct AskedFamily(Vec<(Vec<EventNo>, Many<RelationRow>)>);

/// Ask for the children of events: one scan for each run of neighbouring events, so one for a
/// page of a timeline.
pub(crate) fn ask(want: &mut ReadSet, part: Part, events: &[EventNo]) -> AskedFamily {
    let mut sorted = events.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let runs = sorted.chunk_by(|a, b| b.0 - a.0 <= RUN_GAP_MAX).map(|run| {
        let (first, last) = (run[0], run[run.len() - 1]);
        let slot = want.range::<RelationRow>(
            part,
            std::ops::Bound::Included(&first),
            std::ops::Bound::Included(&last),
            Order::Forward,
            RUN_ROWS_MAX,
        );
        (run.to_vec(), slot)
    });
    AskedFamily(runs.collect())
}

impl Rooms {
    /// The children that were asked for; one more round trip if some event has very many.
    pub(crate) async fn family(
        &self,
        part: Part,
        asked: AskedFamily,
        got: &blaupause_data::Answers,
    ) -> Result<Family, RoomsError> {
        let mut family = Family::new();
        let mut crowded = Vec::new();
        for (run, slot) in asked.0 {
            let page = got.many(slot)?;
            let cut =
                page.more.then(|| page.rows.last().map(|((target, ..), _)| *target)).flatten();
            for ((target, rel_type, _), child) in page.rows {
                if cut != Some(target) && run.binary_search(&target).is_ok() {
                    family.entry(target).or_default().add(&rel_type, child.value);
                }
            }
            crowded.extend(run.into_iter().filter(|target| cut.is_some_and(|cut| *target >= cut)));
        }
        let mut family: Family =
            family.into_iter().map(|(target, children)| (target, children.bounded())).collect();
        self.crowded(part, &crowded, &mut family).await?;
        share_out(&mut family);
        Ok(family)
    }

    /// Events with many children, each relation for itself.
    async fn crowded(
        &self,
        part: Part,
        events: &[EventNo],
        family: &mut Family,
    ) -> Result<(), RoomsError> {
        let mut want = ReadSet::new();
        let kinds = [
            (REPLACE, Order::Backward, EDITS_MAX as u32),
            (THREAD, Order::Backward, THREAD_COUNTED_MAX),
            (REFERENCE, Order::Forward, REFERENCES_MAX as u32),
        ];
        let mut slots = Vec::new();
        for event in events {
            for (kind, order, limit) in kinds {
                let prefix = (*event, kind.to_owned());
                let slot = want.prefix::<RelationRow>(part, &prefix, order, limit);
                slots.push((*event, kind, order, slot));
            }
        }
        let got = want.run(self.data()).await?;
        for (event, kind, order, slot) in slots {
            let mut rows = got.many(slot)?.rows;
            if order == Order::Backward {
                rows.reverse();
            }
            for (_, child) in rows {
                family.entry(event).or_default().add(kind, child.value);
            }
        }
        for event in events {
            if let Some(children) = family.remove(event) {
                family.insert(*event, children.bounded());
            }
        }
        Ok(())
    }
}

/// A bundle, before it becomes JSON.
#[derive(Debug, Default)]
pub(crate) struct Bundle<'e> {
    pub replace: Option<&'e Event>,
    pub thread: Option<Thread<'e>>,
    pub references: Vec<&'e Event>,
}

/// A thread as its root shows it.
#[derive(Debug)]
pub(crate) struct Thread<'e> {
    pub latest: &'e Event,
    pub count: usize,
    pub participated: bool,
}

/// Everything at hand that bundles are made of.
pub(crate) struct Bundler<'e> {
    pub events: &'e HashMap<EventNo, Arc<Event>>,
    pub family: &'e Family,
    pub lens: &'e Lens,
    pub user: &'e OwnedUserId,
    pub ignored: &'e HashSet<OwnedUserId>,
}

impl<'e> Bundler<'e> {
    /// What the reader is told about an event's children. Pure.
    pub(crate) fn bundle(&self, event: &Event) -> Option<Bundle<'e>> {
        let children = self.family.get(&event.no)?;
        let references = self.shown(&children.references).collect();
        let replace = if event.stored.redacted_by.is_some() {
            None
        } else {
            let edits = self.shown(&children.edits).filter(|edit| is_valid_edit(event, edit));
            edits.max_by_key(|edit| (edit.origin_server_ts, &edit.stored.event_id))
        };
        let bundle = Bundle { replace, thread: self.thread(event, children), references };
        let is_empty =
            bundle.replace.is_none() && bundle.thread.is_none() && bundle.references.is_empty();
        (!is_empty).then_some(bundle)
    }

    fn thread(&self, root: &Event, children: &Children) -> Option<Thread<'e>> {
        let shown: Vec<_> = self.shown(&children.thread).collect();
        let latest = *shown.last()?;
        let hidden = children.thread.len() - shown.len();
        Some(Thread {
            latest,
            count: children.thread_count - hidden,
            participated: root.sender == *self.user
                || shown.iter().any(|reply| reply.sender == *self.user),
        })
    }

    /// The children that count for the reader.
    fn shown<'c>(
        &'c self,
        children: &'c [EventNo],
    ) -> impl Iterator<Item = &'e Event> + use<'c, 'e> {
        children
            .iter()
            .filter_map(|no| self.events.get(no))
            .map(|event| &**event)
            .filter(|event| event.stored.redacted_by.is_none())
            .filter(|event| !self.ignored.contains(&event.sender))
            .filter(|event| self.lens.sees(event))
    }
}

/// Whether an event validly replaces another (client-server API, "Validity of replacement
/// events").
fn is_valid_edit(original: &Event, edit: &Event) -> bool {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.new_content")]
        new_content: Option<serde::de::IgnoredAny>,
        #[serde(rename = "m.relates_to")]
        relates_to: Option<RelatesTo>,
    }
    #[derive(Deserialize)]
    struct RelatesTo {
        rel_type: Option<String>,
    }
    let is_edit = |content: &Content| {
        content.relates_to.as_ref().is_some_and(|to| to.rel_type.as_deref() == Some(REPLACE))
    };
    let encrypted = edit.kind == "m.room.encrypted";
    edit.sender == original.sender
        && edit.kind == original.kind
        && edit.state_key.is_none()
        && original.state_key.is_none()
        && !original.content_as::<Content>().is_some_and(|content| is_edit(&content))
        && (encrypted
            || edit.content_as::<Content>().is_some_and(|edit| edit.new_content.is_some()))
}
