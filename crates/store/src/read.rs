use bytes::Bytes;

use crate::{Key, LIMITS, Table};

/// One request of a read. Answers come in request order, from one consistent view.
#[derive(Clone, Debug)]
pub enum Read {
    /// The row with exactly this key.
    Get { t: Table, k: Key },
    /// Rows with `lo <= key < hi`, ascending, or descending if `rev`, at most `limit`, and at most
    /// as many as [`crate::Limits::scan_bytes_max`] allows: see [`Got::Rows`].
    Scan { t: Table, lo: Key, hi: Key, rev: bool, limit: u32 },
}

/// The answer to one [`Read`].
#[derive(Clone, Debug)]
pub enum Got {
    /// To a `Get`.
    One(Option<Bytes>),
    /// To a `Scan`; `more` says that rows beyond the last one given exist in the range: the limit
    /// was reached, or the answer is full. Unless the limit is 0 there is at least one row if the
    /// range has any, so whoever goes on behind the last row comes to the end.
    Rows { rows: Vec<(Key, Bytes)>, more: bool },
}

/// What the answer to one scan may still hold. Every engine asks it before it adds a row, so that
/// all end their answers at the same row.
#[derive(Debug)]
pub(crate) struct ScanRoom {
    rows: u32,
    bytes: usize,
}

impl ScanRoom {
    /// Of a scan with this limit.
    pub(crate) fn new(limit: u32) -> Self {
        Self { rows: limit.min(LIMITS.scan_rows_max), bytes: LIMITS.scan_bytes_max }
    }

    /// Whether the row still goes into the answer. If not, rows are left.
    pub(crate) fn take(&mut self, key: &Key, value: &[u8]) -> bool {
        if self.rows == 0 || self.bytes == 0 {
            return false;
        }
        self.rows -= 1;
        self.bytes = self.bytes.saturating_sub(key.as_bytes().len() + value.len());
        true
    }
}
