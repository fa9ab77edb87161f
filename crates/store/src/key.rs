use std::fmt;

use bytes::Bytes;

use crate::batch::stamp;

/// The eight tables (RocksDB column families, PostgreSQL tables).
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Events: header and JSON, insert-only.
    Evt = 1,
    /// Lookups by name: point gets.
    Idx,
    /// Orders: timelines, relations, the change log.
    Seq,
    /// Room state: pages, current state, auth edges.
    State,
    /// Membership, from the room's and from the user's side.
    Mem,
    /// What belongs to a user or is kept per user in a room.
    Usr,
    /// Queues: to-device, one-time keys, outgoing.
    Box,
    /// Heads: small, hot rows written under a version check.
    Meta,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 8] =
        [Self::Evt, Self::Idx, Self::Seq, Self::State, Self::Mem, Self::Usr, Self::Box, Self::Meta];

    /// Short lower-case name, the same in every engine.
    pub fn name(self) -> &'static str {
        match self {
            Self::Evt => "evt",
            Self::Idx => "idx",
            Self::Seq => "seq",
            Self::State => "state",
            Self::Mem => "mem",
            Self::Usr => "usr",
            Self::Box => "box",
            Self::Meta => "meta",
        }
    }
}

/// A partition: the keyed hash of a room, user or destination. The first 8 bytes of every key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part(pub u64);

impl Part {
    /// Virtual shard (0..1024) this partition lies in; contiguous key ranges in every table.
    pub fn vshard(self) -> u16 {
        (self.0 >> 54) as u16
    }

    /// The partition of a node's own rows: its slot's change log and counters. Never a hash.
    pub const fn slot(slot: u8) -> Self {
        Self(slot as u64)
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Position of a batch in the node's stream. Only grows; assigned when the batch commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamPos(pub u64);

/// A key: partition (8 bytes, big-endian), tag (1 byte), then fields in an order-preserving form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// A key from bytes that already have the layout above.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The key that consists of partition and tag only: the lower bound of all rows of that kind.
    pub fn new(part: Part, tag: u8) -> Self {
        let mut bytes = Vec::with_capacity(9);
        bytes.extend_from_slice(&part.0.to_be_bytes());
        bytes.push(tag);
        Self(bytes.into())
    }

    /// The whole key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key with the position written over offset `at`.
    pub(crate) fn stamped(&self, at: Option<u16>, pos: StreamPos) -> Self {
        Self(stamp(&self.0, at, pos))
    }

    /// The partition the key lies in; `None` if the key is shorter than 8 bytes.
    pub fn part(&self) -> Option<Part> {
        Some(Part(u64::from_be_bytes(self.0.get(..8)?.try_into().ok()?)))
    }

    /// The smallest key greater than every key that starts with this one (an exclusive bound).
    pub fn prefix_end(&self) -> Self {
        let mut bytes = self.0.to_vec();
        while let Some(last) = bytes.pop() {
            if last < u8::MAX {
                bytes.push(last + 1);
                break;
            }
        }
        Self(bytes.into())
    }

    /// The next key after this one.
    pub fn successor(&self) -> Self {
        let mut bytes = self.0.to_vec();
        bytes.push(0);
        Self(bytes.into())
    }
}
