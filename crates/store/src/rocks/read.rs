use bytes::Bytes;
use rocksdb::{ColumnFamily, DB, DBRawIteratorWithThreadMode, ReadOptions, Snapshot};

use super::open::{PART_BYTES, failed, family};
use crate::{Chunk, Got, Key, LIMITS, Read, StoreError, Table};

/// Rows that a request may touch and still be answered on the caller's thread: at most some tens
/// of microseconds if they are cached, and a few disk reads if they are not.
const INLINE_GETS_MAX: usize = 8;
const INLINE_SCANS_MAX: usize = 2;
const INLINE_SCAN_ROWS_MAX: u32 = 64;

/// Whether a request is cheaper than handing it to another thread.
pub(super) fn is_small(reads: &[Read]) -> bool {
    if reads.len() > INLINE_GETS_MAX {
        return false;
    }
    let limits = reads.iter().filter_map(|read| match read {
        Read::Get { .. } => None,
        Read::Scan { limit, .. } => Some(*limit),
    });
    let (scans, rows) =
        limits.fold((0, 0u32), |(scans, rows), limit| (scans + 1, rows.saturating_add(limit)));
    scans <= INLINE_SCANS_MAX && rows <= INLINE_SCAN_ROWS_MAX
}

/// Answer all requests from one view.
pub(super) fn answer(db: &DB, reads: Vec<Read>) -> Result<Vec<Got>, StoreError> {
    // A single request is consistent with itself, and a snapshot costs a lock.
    let snapshot = (reads.len() > 1).then(|| db.snapshot());
    let snapshot = snapshot.as_ref();
    let mut answers: Vec<Got> = Vec::with_capacity(reads.len());
    let mut gets: [Vec<(usize, Key)>; Table::ALL.len()] = Default::default();
    for (index, read) in reads.into_iter().enumerate() {
        answers.push(match read {
            Read::Get { t, k } => {
                gets[t as usize - 1].push((index, k));
                Got::One(None)
            }
            Read::Scan { t, lo, hi, rev, limit } => {
                scan(db, snapshot, &Range { t, lo: &lo, hi: &hi }, rev, limit)?
            }
        });
    }
    for (table, gets) in Table::ALL.into_iter().zip(gets) {
        let keys: Vec<&[u8]> = gets.iter().map(|(_, key)| key.as_bytes()).collect();
        let values = get_many(db, snapshot, table, &keys, Bytes::copy_from_slice)?;
        for ((index, _), value) in gets.iter().zip(values) {
            answers[*index] = Got::One(value);
        }
    }
    Ok(answers)
}

/// One row.
pub(super) fn get(db: &DB, t: Table, k: &Key) -> Result<Option<Bytes>, StoreError> {
    let mut rows = get_many(db, None, t, &[k.as_bytes()], Bytes::copy_from_slice)?;
    Ok(rows.pop().flatten())
}

/// Many rows of one table; `take` makes what is wanted of a value.
pub(super) fn get_many<T>(
    db: &DB,
    snapshot: Option<&Snapshot<'_>>,
    t: Table,
    keys: &[&[u8]],
    take: impl Fn(&[u8]) -> T,
) -> Result<Vec<Option<T>>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut options = ReadOptions::default();
    if let Some(snapshot) = snapshot {
        options.set_snapshot(snapshot);
    }
    let family = family(db, t)?;
    if let [key] = keys {
        let value = db.get_pinned_cf_opt(family, key, &options).map_err(|error| failed(&error))?;
        return Ok(vec![value.map(|value| take(&value))]);
    }
    let values = db.batched_multi_get_cf_opt(family, keys.iter().copied(), false, &options);
    let value = |value: Option<rocksdb::DBPinnableSlice<'_>>| value.map(|value| take(&value));
    values.into_iter().map(|got| got.map(value).map_err(|error| failed(&error))).collect()
}

/// Up to `chunk` rows from a key on, and the key to go on with.
pub(super) fn export(
    db: &DB,
    t: Table,
    from: Option<&Key>,
    chunk: u32,
) -> Result<Chunk, StoreError> {
    let mut walk = Walk::over_table(db, t)?;
    walk.seek(from.map_or(&[], Key::as_bytes));
    let chunk = chunk.clamp(1, LIMITS.scan_rows_max) as usize;
    let mut rows = Vec::new();
    while let Some((key, value)) = walk.item()? {
        let key = Key::from_bytes(Bytes::copy_from_slice(key));
        if rows.len() == chunk {
            return Ok((rows, Some(key)));
        }
        rows.push((key, Bytes::copy_from_slice(value)));
        walk.step(false);
    }
    Ok((rows, None))
}

/// The first keys of a range.
pub(super) fn keys(db: &DB, range: &Range<'_>, limit: usize) -> Result<Vec<Key>, StoreError> {
    let mut walk = Walk::over_range(db, None, range)?;
    walk.seek(range.lo.as_bytes());
    let mut keys = Vec::new();
    while keys.len() < limit
        && let Some((key, _)) = walk.item()?
    {
        keys.push(Key::from_bytes(Bytes::copy_from_slice(key)));
        walk.step(false);
    }
    Ok(keys)
}

fn scan(
    db: &DB,
    snapshot: Option<&Snapshot<'_>>,
    range: &Range<'_>,
    rev: bool,
    limit: u32,
) -> Result<Got, StoreError> {
    let mut rows = Vec::new();
    if range.lo >= range.hi {
        return Ok(Got::Rows { rows, more: false });
    }
    let limit = limit.min(LIMITS.scan_rows_max) as usize;
    let mut walk = Walk::over_range(db, snapshot, range)?;
    if rev {
        walk.seek_last(range.hi.as_bytes());
    } else {
        walk.seek(range.lo.as_bytes());
    }
    while let Some((key, value)) = walk.item()? {
        if rows.len() == limit {
            return Ok(Got::Rows { rows, more: true });
        }
        let key = Key::from_bytes(Bytes::copy_from_slice(key));
        rows.push((key, Bytes::copy_from_slice(value)));
        walk.step(rev);
    }
    Ok(Got::Rows { rows, more: false })
}

/// Rows of a table with `lo <= key < hi`.
pub(super) struct Range<'a> {
    pub t: Table,
    pub lo: &'a Key,
    pub hi: &'a Key,
}

impl Range<'_> {
    fn lies_in_one_part(&self) -> bool {
        let part = self.lo.as_bytes().get(..PART_BYTES);
        part.is_some() && part == self.hi.as_bytes().get(..PART_BYTES)
    }
}

/// Key and value where an iterator stands.
type Row<'a> = (&'a [u8], &'a [u8]);

/// The only maker of iterators. An iterator may skip files by the filter over partitions only if
/// it never leaves one partition, and that includes both bounds, because a reverse scan starts at
/// the upper one. With the wrong flag rows are missing *silently*.
pub(super) struct Walk<'a>(DBRawIteratorWithThreadMode<'a, DB>);

impl<'a> Walk<'a> {
    fn over_range(
        db: &'a DB,
        snapshot: Option<&Snapshot<'a>>,
        range: &Range<'_>,
    ) -> Result<Self, StoreError> {
        let mut options = ReadOptions::default();
        if let Some(snapshot) = snapshot {
            options.set_snapshot(snapshot);
        }
        options.set_iterate_lower_bound(range.lo.as_bytes());
        options.set_iterate_upper_bound(range.hi.as_bytes());
        options.set_total_order_seek(!range.lies_in_one_part());
        Ok(Self::new(db, family(db, range.t)?, options))
    }

    fn over_table(db: &'a DB, t: Table) -> Result<Self, StoreError> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        // An export reads everything once and must not push the working set out of the cache.
        options.fill_cache(false);
        Ok(Self::new(db, family(db, t)?, options))
    }

    fn new(db: &'a DB, family: &ColumnFamily, options: ReadOptions) -> Self {
        Self(db.raw_iterator_cf_opt(family, options))
    }

    /// Go to the first row at or after the key.
    fn seek(&mut self, key: &[u8]) {
        self.0.seek(key);
    }

    /// Go to the last row of the range. The upper bound itself is never found: iterators stay below
    /// their bound.
    fn seek_last(&mut self, hi: &[u8]) {
        self.0.seek_for_prev(hi);
    }

    fn step(&mut self, rev: bool) {
        if rev { self.0.prev() } else { self.0.next() }
    }

    /// The row here; `None` at the end of the range.
    fn item(&self) -> Result<Option<Row<'_>>, StoreError> {
        let item = self.0.item();
        if item.is_none() {
            // The end, or an error that looks like the end.
            self.0.status().map_err(|error| failed(&error))?;
        }
        Ok(item)
    }
}
