//! Room state as a persistent tree: a map from [`StateKeyNo`] to [`EventNo`] whose versions share
//! their pages, like folders in git.
//!
//! A radix tree with 64 slots a node; as key numbers are dense no keys are stored. A leaf covers
//! 64 keys, the root of a room with 100,000 members is on level 3. One change writes one page with
//! the leaf, the inner nodes and the root on its path; the rest is pointers into older pages.
//!
//! All functions work on the pages they are given. If pages are absent they name *all* that they
//! could find out to be absent, so that a caller needs one read a level, whatever the number of
//! keys: see [`Step::Need`]. Costs: storage.md, section 3.3.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::BuildHasher,
};

use crate::{
    EventNo, Need, PageNo, Refusal, StateKeyNo, StateRoot, Step,
    ids::{HEIGHT_MAX, NodePtr},
};

mod page;

use page::{Node, Writer};

/// Greatest size of a page in bytes; the store takes values of 100,000.
pub const PAGE_SIZE_BYTES_MAX: usize = 30_000;
const SLOT_BITS: u32 = 6;

/// Pages at hand.
pub trait Pages {
    /// The bytes of a page; `None` if the page is not at hand.
    fn page(&self, no: PageNo) -> Option<&[u8]>;
}

impl<B: AsRef<[u8]>, S: BuildHasher> Pages for HashMap<PageNo, B, S> {
    fn page(&self, no: PageNo) -> Option<&[u8]> {
        self.get(&no).map(AsRef::as_ref)
    }
}

impl<B: AsRef<[u8]>> Pages for BTreeMap<PageNo, B> {
    fn page(&self, no: PageNo) -> Option<&[u8]> {
        self.get(&no).map(AsRef::as_ref)
    }
}

impl<T: Pages + ?Sized> Pages for &T {
    fn page(&self, no: PageNo) -> Option<&[u8]> {
        (**self).page(no)
    }
}

/// A new version of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its root; the old root if nothing changed.
    pub root: StateRoot,
    /// Pages to store, numbered from the `next` that was given; empty if nothing changed.
    pub pages: Vec<(PageNo, Vec<u8>)>,
}

/// A key whose event differs between two states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Changed {
    /// The key.
    pub key: StateKeyNo,
    /// Its event in the first state, if any.
    pub before: Option<EventNo>,
    /// Its event in the second state, if any.
    pub after: Option<EventNo>,
}

/// The event of one key.
///
/// # Errors
/// [`Refusal::Corrupt`] if a page is broken.
pub fn get(
    root: StateRoot,
    key: StateKeyNo,
    pages: &impl Pages,
) -> Result<Step<Option<EventNo>>, Refusal> {
    Ok(get_many(root, &[key], pages)?.map(|mut events| events.pop().flatten()))
}

/// The events of many keys, in the order of the keys.
///
/// # Errors
/// [`Refusal::Corrupt`] if a page is broken.
pub fn get_many(
    root: StateRoot,
    keys: &[StateKeyNo],
    pages: &impl Pages,
) -> Result<Step<Vec<Option<EventNo>>>, Refusal> {
    let mut wanted: Vec<(StateKeyNo, usize)> =
        keys.iter().enumerate().map(|(at, key)| (*key, at)).collect();
    wanted.sort_unstable();
    let end = wanted.partition_point(|(key, _)| fits(*key, root.height()));
    let mut found = vec![None; keys.len()];
    let mut reader = Reader::new(pages);
    if !root.is_empty() {
        reader.get_under(root.node(), root.height(), &wanted[..end], &mut found)?;
    }
    Ok(reader.need().or(found))
}

/// All keys and their events, ascending by key.
///
/// # Errors
/// [`Refusal::Corrupt`] if a page is broken.
pub fn entries(
    root: StateRoot,
    pages: &impl Pages,
) -> Result<Step<Vec<(StateKeyNo, EventNo)>>, Refusal> {
    let all = diff(StateRoot::EMPTY, root, pages)?;
    Ok(all.map(|all| all.into_iter().filter_map(|c| Some((c.key, c.after?))).collect()))
}

/// The keys whose events differ, ascending. Looks only at pages that the two do not share.
///
/// # Errors
/// [`Refusal::Corrupt`] if a page is broken.
pub fn diff(
    before: StateRoot,
    after: StateRoot,
    pages: &impl Pages,
) -> Result<Step<Vec<Changed>>, Refusal> {
    let mut reader = Reader::new(pages);
    let mut changed = Vec::new();
    let level = before.height().max(after.height());
    let (before, after) = (Subtree::of(before, level), Subtree::of(after, level));
    reader.diff_under(before, after, level, 0, &mut changed)?;
    Ok(reader.need().or(changed))
}

/// Sets (`Some`) or removes (`None`) keys. If a key is named twice the last one counts.
///
/// Writes one page for up to 64 changed nodes, so one for a single change.
///
/// # Errors
/// [`Refusal::Corrupt`] if a page is broken or the page numbers are used up.
pub fn set(
    root: StateRoot,
    changes: &[(StateKeyNo, Option<EventNo>)],
    next: PageNo,
    pages: &impl Pages,
) -> Result<Step<Written>, Refusal> {
    let changes: BTreeMap<StateKeyNo, Option<EventNo>> = changes.iter().copied().collect();
    let changes: Vec<_> = changes.into_iter().collect();
    let mut level = root.height();
    if let Some((greatest, _)) = changes.iter().rfind(|(_, event)| event.is_some()) {
        level = level.max(height_for(*greatest));
    }
    // Removing what lies beyond the tree changes nothing.
    let end = changes.partition_point(|(key, _)| fits(*key, level));
    let mut reader = Reader::new(pages);
    let mut writer = Writer::new(next);
    let old = Subtree::of(root, level);
    let new = reader.set_under(old, level, &changes[..end], &mut writer)?;
    let need = reader.need();
    if !need.is_empty() {
        return Ok(Step::Need(need));
    }
    let root = match new {
        Subtree::Empty => StateRoot::EMPTY,
        Subtree::Node(node) => StateRoot::new(level, node),
        Subtree::Leftmost(..) => root,
    };
    Ok(Step::Done(Written { root, pages: writer.finish()? }))
}

/// What lies below a slot on some level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subtree {
    Empty,
    /// A node of exactly this level.
    Node(NodePtr),
    /// A lower tree (node, its level) that fills only the leftmost part: a tree that has to grow,
    /// or the lower one of two that are compared.
    Leftmost(NodePtr, u8),
}

impl Subtree {
    fn of(root: StateRoot, level: u8) -> Self {
        match root.height() {
            0 => Self::Empty,
            height if height == level => Self::Node(root.node()),
            height => Self::Leftmost(root.node(), height),
        }
    }

    fn leftmost(node: NodePtr, height: u8, level: u8) -> Self {
        if height == level { Self::Node(node) } else { Self::Leftmost(node, height) }
    }
}

/// Walks over the pages at hand and notes the absent ones.
struct Reader<'a, P> {
    pages: &'a P,
    absent: BTreeSet<PageNo>,
}

impl<'a, P: Pages> Reader<'a, P> {
    fn new(pages: &'a P) -> Self {
        Self { pages, absent: BTreeSet::new() }
    }

    fn need(&self) -> Need {
        Need { pages: self.absent.clone(), ..Need::default() }
    }

    fn node(&mut self, at: NodePtr, level: u8) -> Result<Option<Node<'a>>, Refusal> {
        match self.pages.page(at.page) {
            Some(page) => Node::read(page, at, level).map(Some),
            None => {
                self.absent.insert(at.page);
                Ok(None)
            }
        }
    }

    /// `keys` are sorted, lie under the node, and know their place in `found`.
    fn get_under(
        &mut self,
        at: NodePtr,
        level: u8,
        keys: &[(StateKeyNo, usize)],
        found: &mut [Option<EventNo>],
    ) -> Result<(), Refusal> {
        let Some(node) = self.node(at, level)? else { return Ok(()) };
        for group in keys.chunk_by(|a, b| slot_of(a.0, level) == slot_of(b.0, level)) {
            let slot = slot_of(group[0].0, level);
            if level > 1 {
                if let Some(child) = node.child(slot) {
                    self.get_under(child, level - 1, group, found)?;
                }
                continue;
            }
            for (_, place) in group {
                found[*place] = node.event(slot);
            }
        }
        Ok(())
    }

    /// The children of an inner node; `None` if the page is absent.
    fn children(&mut self, tree: Subtree, level: u8) -> Result<Option<Children>, Refusal> {
        let mut children = Children([Subtree::Empty; page::FANOUT as usize]);
        match tree {
            Subtree::Empty => {}
            Subtree::Leftmost(at, height) => {
                children.0[0] = Subtree::leftmost(at, height, level - 1);
            }
            Subtree::Node(at) => {
                let Some(node) = self.node(at, level)? else { return Ok(None) };
                for slot in node.slots() {
                    let child = node.child(slot);
                    let child = child.ok_or_else(|| Refusal::corrupt("bad pointer in a page"))?;
                    children.0[slot as usize] = Subtree::Node(child);
                }
            }
        }
        Ok(Some(children))
    }

    /// The events of a leaf by slot; `None` if the page is absent.
    fn events(&mut self, tree: Subtree) -> Result<Option<[Option<EventNo>; 64]>, Refusal> {
        let mut events = [None; page::FANOUT as usize];
        if let Subtree::Node(at) = tree {
            let Some(node) = self.node(at, 1)? else { return Ok(None) };
            for slot in node.slots() {
                events[slot as usize] = node.event(slot);
            }
        }
        Ok(Some(events))
    }

    fn diff_under(
        &mut self,
        before: Subtree,
        after: Subtree,
        level: u8,
        first_key: u32,
        changed: &mut Vec<Changed>,
    ) -> Result<(), Refusal> {
        if before == after {
            return Ok(());
        }
        if level == 1 {
            let (before, after) = (self.events(before)?, self.events(after)?);
            let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
            for (slot, (before, after)) in (0..).zip(before.into_iter().zip(after)) {
                if before != after {
                    changed.push(Changed { key: StateKeyNo(first_key + slot), before, after });
                }
            }
            return Ok(());
        }
        let (before, after) = (self.children(before, level)?, self.children(after, level)?);
        let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
        for (slot, (before, after)) in (0..).zip(before.0.into_iter().zip(after.0)) {
            if before != after {
                let first_key = first_key + (slot << (SLOT_BITS * u32::from(level - 1)));
                self.diff_under(before, after, level - 1, first_key, changed)?;
            }
        }
        Ok(())
    }

    /// Builds the subtree anew where `changes` (sorted, all under it) touch it. The result is
    /// meaningless if a page was absent.
    fn set_under(
        &mut self,
        old: Subtree,
        level: u8,
        changes: &[(StateKeyNo, Option<EventNo>)],
        writer: &mut Writer,
    ) -> Result<Subtree, Refusal> {
        if changes.is_empty() && !matches!(old, Subtree::Leftmost(..)) {
            return Ok(old);
        }
        if level == 1 {
            return self.set_leaf(old, changes, writer);
        }
        let Some(mut children) = self.children(old, level)? else { return Ok(old) };
        let before = children.0;
        if let Subtree::Leftmost(..) = children.0[0] {
            let first = changes.partition_point(|(key, _)| slot_of(*key, level) == 0);
            children.0[0] = self.set_under(before[0], level - 1, &changes[..first], writer)?;
        }
        for group in changes.chunk_by(|a, b| slot_of(a.0, level) == slot_of(b.0, level)) {
            let slot = slot_of(group[0].0, level) as usize;
            if !matches!(before[slot], Subtree::Leftmost(..)) {
                children.0[slot] = self.set_under(before[slot], level - 1, group, writer)?;
            }
        }
        if children.0 == before && !matches!(old, Subtree::Leftmost(..)) {
            return Ok(old);
        }
        let present: Vec<(u32, NodePtr)> = (0..)
            .zip(children.0)
            .filter_map(|(slot, child)| match child {
                Subtree::Node(at) => Some((slot, at)),
                // `Leftmost` remains only where a page was absent: the result is thrown away.
                Subtree::Empty | Subtree::Leftmost(..) => None,
            })
            .collect();
        if present.is_empty() {
            return Ok(Subtree::Empty);
        }
        writer.inner(level, &present).map(Subtree::Node)
    }

    fn set_leaf(
        &mut self,
        old: Subtree,
        changes: &[(StateKeyNo, Option<EventNo>)],
        writer: &mut Writer,
    ) -> Result<Subtree, Refusal> {
        let Some(before) = self.events(old)? else { return Ok(old) };
        let mut events = before;
        for (key, event) in changes {
            events[slot_of(*key, 1) as usize] = *event;
        }
        if events == before {
            return Ok(old);
        }
        let present: Vec<(u32, EventNo)> =
            (0..).zip(events).filter_map(|(slot, event)| Some((slot, event?))).collect();
        if present.is_empty() {
            return Ok(Subtree::Empty);
        }
        writer.leaf(&present).map(Subtree::Node)
    }
}

/// The 64 slots of an inner node.
struct Children([Subtree; page::FANOUT as usize]);

fn slot_of(key: StateKeyNo, level: u8) -> u32 {
    key.0 >> (SLOT_BITS * u32::from(level - 1)) & (page::FANOUT - 1)
}

/// Whether a tree of this height has a place for the key.
fn fits(key: StateKeyNo, height: u8) -> bool {
    height > 0 && u64::from(key.0) >> (SLOT_BITS * u32::from(height)) == 0
}

fn height_for(key: StateKeyNo) -> u8 {
    (1..HEIGHT_MAX).find(|height| fits(key, *height)).unwrap_or(HEIGHT_MAX)
}
