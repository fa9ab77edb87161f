//! Bytes of a page: 1–64 nodes of the state tree that were written together.
//!
//! ```text
//! page  = version 0x01, node count (1 byte), nodes
//! node  = level (1 byte), bitmap of present slots (u64 BE, bit i = slot i), entries in slot order
//! entry = on level 1 an event number (u32 BE), above a pointer (5 bytes: page << 6 | slot, BE)
//! ```
//! Pages stay far below the store's value limit: 64 full nodes are 21 kB.

use crate::{EventNo, PageNo, Refusal, ids::NodePtr};

/// Version of the format, first byte of every page.
const VERSION: u8 = 1;
/// Most nodes in one page: a pointer has 6 bits for the slot.
pub(super) const NODES_MAX: usize = 64;
/// Slots of a node.
pub(super) const FANOUT: u32 = 64;
const HEADER_BYTES: usize = 2;
const NODE_HEADER_BYTES: usize = 9;
const EVENT_BYTES: usize = 4;
const POINTER_BYTES: usize = 5;

/// A node inside a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    bitmap: u64,
    entries: &'a [u8],
}

impl<'a> Node<'a> {
    /// Finds a node of a known level in a page.
    pub(super) fn read(page: &'a [u8], at: NodePtr, level: u8) -> Result<Self, Refusal> {
        Self::find(page, at.slot, level).ok_or_else(|| {
            Refusal::corrupt(format!("no node in slot {} of {:?}", at.slot, at.page))
        })
    }

    fn find(page: &'a [u8], slot: u8, level: u8) -> Option<Self> {
        let ([version, count], mut rest) = page.split_first_chunk::<HEADER_BYTES>()?;
        if *version != VERSION || slot >= *count {
            return None;
        }
        for _ in 0..slot {
            rest = Self::split(rest)?.2;
        }
        let (found, node, _) = Self::split(rest)?;
        (found == level).then_some(node)
    }

    /// Level of the first node, the node, what follows it.
    fn split(bytes: &'a [u8]) -> Option<(u8, Self, &'a [u8])> {
        let ([level, bitmap @ ..], rest) = bytes.split_first_chunk::<NODE_HEADER_BYTES>()?;
        let bitmap = u64::from_be_bytes(*bitmap);
        let size = if *level == 1 { EVENT_BYTES } else { POINTER_BYTES };
        let (entries, rest) = rest.split_at_checked(bitmap.count_ones() as usize * size)?;
        Some((*level, Self { bitmap, entries }, rest))
    }

    /// Event in a slot of a node on level 1.
    pub(super) fn event(&self, slot: u32) -> Option<EventNo> {
        self.entry::<EVENT_BYTES>(slot).map(|bytes| EventNo(u32::from_be_bytes(bytes)))
    }

    /// Child in a slot of a node above level 1.
    pub(super) fn child(&self, slot: u32) -> Option<NodePtr> {
        self.entry::<POINTER_BYTES>(slot).and_then(NodePtr::from_bytes)
    }

    /// The present slots, ascending.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> + use<> {
        let mut left = self.bitmap;
        std::iter::from_fn(move || {
            let slot = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (slot < FANOUT).then_some(slot)
        })
    }

    fn entry<const SIZE: usize>(&self, slot: u32) -> Option<[u8; SIZE]> {
        let bit = 1_u64 << slot;
        if self.bitmap & bit == 0 {
            return None;
        }
        let rank = (self.bitmap & (bit - 1)).count_ones() as usize;
        self.entries.get(rank * SIZE..)?.first_chunk::<SIZE>().copied()
    }
}

/// Collects new nodes into as few pages as possible, children before parents.
#[derive(Debug)]
pub(super) struct Writer {
    next: PageNo,
    open: Vec<u8>,
    open_nodes: usize,
    full: Vec<(PageNo, Vec<u8>)>,
}

impl Writer {
    pub(super) fn new(next: PageNo) -> Self {
        Self { next, open: Vec::new(), open_nodes: 0, full: Vec::new() }
    }

    /// Adds a leaf (level 1); slots ascending.
    pub(super) fn leaf(&mut self, events: &[(u32, EventNo)]) -> Result<NodePtr, Refusal> {
        self.start_node(1, events.iter().map(|(slot, _)| *slot));
        for (_, event) in events {
            self.open.extend(event.0.to_be_bytes());
        }
        self.end_node()
    }

    /// Adds a node above level 1; slots ascending.
    pub(super) fn inner(
        &mut self,
        level: u8,
        children: &[(u32, NodePtr)],
    ) -> Result<NodePtr, Refusal> {
        self.start_node(level, children.iter().map(|(slot, _)| *slot));
        for (_, child) in children {
            self.open.extend(child.to_bytes());
        }
        self.end_node()
    }

    /// The pages written, with consecutive numbers.
    pub(super) fn finish(mut self) -> Result<Vec<(PageNo, Vec<u8>)>, Refusal> {
        if self.open_nodes > 0 {
            self.close_page()?;
        }
        Ok(self.full)
    }

    fn start_node(&mut self, level: u8, slots: impl Iterator<Item = u32>) {
        if self.open_nodes == 0 {
            self.open.extend([VERSION, 0]);
        }
        let bitmap = slots.fold(0_u64, |bitmap, slot| bitmap | 1 << slot);
        self.open.push(level);
        self.open.extend(bitmap.to_be_bytes());
    }

    fn end_node(&mut self) -> Result<NodePtr, Refusal> {
        let slot = u8::try_from(self.open_nodes).map_err(Refusal::corrupt)?;
        let at = NodePtr { page: self.next, slot };
        self.open_nodes += 1;
        self.open[1] = slot + 1;
        if self.open_nodes == NODES_MAX {
            self.close_page()?;
        }
        Ok(at)
    }

    fn close_page(&mut self) -> Result<(), Refusal> {
        self.full.push((self.next, std::mem::take(&mut self.open)));
        self.open_nodes = 0;
        let next = self.next.0.checked_add(1);
        self.next = PageNo(next.ok_or_else(|| Refusal::corrupt("page numbers are used up"))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_page_stay_the_same() {
        let mut writer = Writer::new(PageNo(5));
        let leaf = writer.leaf(&[(0, EventNo(7)), (63, EventNo(0x0102_0304))]).expect("room");
        let root = writer.inner(2, &[(1, leaf), (2, NodePtr { page: PageNo(4), slot: 9 })]);
        assert_eq!(root, Ok(NodePtr { page: PageNo(5), slot: 1 }));
        let pages = writer.finish().expect("room");
        assert_eq!(pages.len(), 1);
        assert_eq!(pages[0].0, PageNo(5));
        #[rustfmt::skip]
        let expected = [
            1, 2,
            1,  0x80, 0, 0, 0, 0, 0, 0, 1,  0, 0, 0, 7,  1, 2, 3, 4,
            2,  0, 0, 0, 0, 0, 0, 0, 6,  0, 0, 0, 1, 0x40,  0, 0, 0, 1, 9,
        ];
        assert_eq!(pages[0].1, expected);
    }

    #[test]
    fn broken_pages_are_reported_not_believed() {
        let at = NodePtr { page: PageNo(0), slot: 0 };
        let mut writer = Writer::new(PageNo(0));
        writer.leaf(&[(3, EventNo(1))]).expect("room");
        let page = writer.finish().expect("room").remove(0).1;
        assert!(Node::read(&page, at, 1).is_ok());
        assert!(Node::read(&page, at, 2).is_err(), "another level");
        assert!(Node::read(&page, NodePtr { slot: 1, ..at }, 1).is_err(), "no such slot");
        assert!(Node::read(&[], at, 1).is_err());
        for cut in 0..page.len() {
            assert!(Node::read(&page[..cut], at, 1).is_err(), "cut at {cut}");
        }
        let mut later = page;
        later[0] = 2;
        assert!(Node::read(&later, at, 1).is_err(), "unknown version");
    }
}
