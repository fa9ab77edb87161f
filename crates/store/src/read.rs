use bytes::Bytes;

use crate::{Key, Table};

/// One request of a read. Answers come in request order, from one consistent view.
#[derive(Clone, Debug)]
pub enum Read {
    /// The row with exactly this key.
    Get { t: Table, k: Key },
    /// Rows with `lo <= key < hi`, ascending, or descending if `rev`, at most `limit`.
    Scan { t: Table, lo: Key, hi: Key, rev: bool, limit: u32 },
}

/// The answer to one [`Read`].
#[derive(Clone, Debug)]
pub enum Got {
    /// To a `Get`.
    One(Option<Bytes>),
    /// To a `Scan`; `more` says that rows beyond the limit exist in the range.
    Rows { rows: Vec<(Key, Bytes)>, more: bool },
}
