use bytes::Bytes;

use crate::{CommitError, Key, Part, StreamPos, Table};

/// Bounds that every engine enforces, small enough for every engine we may ever have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a key.
    pub key_bytes_max: usize,
    /// Bytes of a value (a PDU is at most 65,536).
    pub value_bytes_max: usize,
    /// Sum of the bytes of all keys and values of a batch.
    pub batch_bytes_max: usize,
    /// Operations and change lines of a batch; also its preconditions.
    pub batch_ops_max: usize,
    /// Rows that all range deletions of a batch may remove together.
    pub range_rows_max: usize,
    /// Rows one scan may return.
    pub scan_rows_max: u32,
    /// Bytes of keys and values at which a scan's answer is full: the row with which it reaches
    /// them is its last, so that an answer is never larger than this and one row.
    pub scan_bytes_max: usize,
}

/// The limits in force.
pub const LIMITS: Limits = Limits {
    key_bytes_max: 1_000,
    value_bytes_max: 100_000,
    batch_bytes_max: 1_000_000,
    batch_ops_max: 5_000,
    range_rows_max: 100_000,
    scan_rows_max: 200_000,
    scan_bytes_max: 4 * 1024 * 1024,
};

/// What must hold when the batch commits; otherwise nothing of it is written.
#[derive(Clone, Debug)]
pub enum Pre {
    /// The row does not exist.
    Absent { t: Table, k: Key },
    /// The first 8 bytes of the row, big-endian, are this number; 0 means that the row is absent.
    Version { t: Table, k: Key, is: u64 },
    /// This node still owns the virtual shard. Always true on an engine that one process owns.
    Lease { vshard: u16, epoch: u64 },
}

impl Pre {
    /// The row whose version decides.
    pub(crate) fn row(&self) -> Option<(Table, Key)> {
        match self {
            Self::Absent { t, k } | Self::Version { t, k, .. } => Some((*t, k.clone())),
            Self::Lease { .. } => None,
        }
    }
}

/// One operation of a batch.
#[derive(Clone, Debug)]
pub enum Op {
    /// Write a row.
    Put { t: Table, k: Key, v: Bytes },
    /// Write a row, first writing the batch's position (8 bytes, big-endian) over the given
    /// offsets of key and value. This is how a row learns a position that exists only at commit.
    PutStamped { t: Table, k: Key, v: Bytes, key_at: Option<u16>, value_at: Option<u16> },
    /// Remove a row, whether or not it exists.
    Del { t: Table, k: Key },
    /// Remove all rows with `lo <= key < hi`, at most [`Limits::range_rows_max`] of them.
    DelRange { t: Table, lo: Key, hi: Key },
}

/// Everything one action writes: all or nothing, at one position.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Home shard; a node commits only batches whose home it owns.
    pub vshard: u16,
    pub pre: Vec<Pre>,
    pub ops: Vec<Op>,
    /// Lines for the change log, written at `(slot, b'l', position, index)` in [`Table::Seq`] and
    /// handed to the commit hook in commit order.
    pub changes: Vec<Bytes>,
}

impl Batch {
    /// The slot of a process that owns its engine alone.
    pub(crate) const SLOT: u8 = 1;

    /// Tag of the change-log rows under [`Part::slot`].
    pub const LOG_TAG: u8 = b'l';

    /// Tag of the row in [`Table::Meta`] under [`Part::slot`] that holds the newest position (8
    /// bytes, big-endian). The engine writes it with every batch.
    pub const POSITION_TAG: u8 = b'P';

    /// Tag of the row in [`Table::Meta`] under [`Part::slot`] that a copy into this store keeps
    /// until it is complete, see [`crate::copy`].
    pub const COPY_TAG: u8 = b'C';

    /// The key of the row that holds the newest position.
    pub fn position_key(slot: u8) -> Key {
        Key::new(Part::slot(slot), Self::POSITION_TAG)
    }

    /// The key of a change-log row: slot partition, tag, position, index within the batch.
    pub fn log_key(slot: u8, pos: u64, index: u16) -> Key {
        let mut bytes = Key::new(Part::slot(slot), Self::LOG_TAG).as_bytes().to_vec();
        bytes.extend_from_slice(&pos.to_be_bytes());
        bytes.extend_from_slice(&index.to_be_bytes());
        Key::from_bytes(bytes)
    }

    /// Whether the batch is within [`LIMITS`] and its stamps lie inside their rows.
    ///
    /// # Errors
    /// [`CommitError::TooLarge`] if not.
    pub fn check_limits(&self) -> Result<(), CommitError> {
        let rows = self.ops.len() + self.changes.len();
        if rows > LIMITS.batch_ops_max || self.pre.len() > LIMITS.batch_ops_max {
            return Err(CommitError::TooLarge);
        }
        let within = self.ops.iter().all(Op::within_limits)
            && self.changes.iter().all(|change| change.len() <= LIMITS.value_bytes_max)
            && self.size_bytes() <= LIMITS.batch_bytes_max;
        if within { Ok(()) } else { Err(CommitError::TooLarge) }
    }

    /// Sum of the bytes of all keys, values and change lines.
    pub fn size_bytes(&self) -> usize {
        let ops: usize = self.ops.iter().map(|op| op.key_bytes() + op.value_bytes()).sum();
        ops + self.changes.iter().map(Bytes::len).sum::<usize>()
    }
}

impl Op {
    fn within_limits(&self) -> bool {
        let stamps_fit = match self {
            Self::PutStamped { k, v, key_at, value_at, .. } => {
                stamp_fits(*key_at, k.as_bytes()) && stamp_fits(*value_at, v)
            }
            _ => true,
        };
        stamps_fit
            && self.key_bytes() <= LIMITS.key_bytes_max
            && self.value_bytes() <= LIMITS.value_bytes_max
    }

    fn key_bytes(&self) -> usize {
        match self {
            Self::Put { k, .. } | Self::PutStamped { k, .. } | Self::Del { k, .. } => {
                k.as_bytes().len()
            }
            Self::DelRange { lo, hi, .. } => lo.as_bytes().len().max(hi.as_bytes().len()),
        }
    }

    fn value_bytes(&self) -> usize {
        match self {
            Self::Put { v, .. } | Self::PutStamped { v, .. } => v.len(),
            Self::Del { .. } | Self::DelRange { .. } => 0,
        }
    }
}

fn stamp_fits(at: Option<u16>, bytes: &[u8]) -> bool {
    at.is_none_or(|at| usize::from(at) + 8 <= bytes.len())
}

/// The bytes with the position written over offset `at`, which [`Batch::check_limits`] has checked.
pub(crate) fn stamp(bytes: &Bytes, at: Option<u16>, pos: StreamPos) -> Bytes {
    let Some(at) = at.map(usize::from) else { return bytes.clone() };
    let mut bytes = bytes.to_vec();
    bytes[at..at + 8].copy_from_slice(&pos.0.to_be_bytes());
    bytes.into()
}

/// What [`Pre::Version`] compares: the first 8 bytes of a row; 0 if it is shorter.
pub(crate) fn version_of(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |version| u64::from_be_bytes(*version))
}
