use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rocksdb::{
    ColumnFamily, DB, DBRawIteratorWithThreadMode, ErrorKind, ReadOptions, ReadTier, Snapshot,
};

use super::open::{PART_BYTES, failed, family};
use crate::{Chunk, Got, Key, LIMITS, Read, StoreError, Table, read::ScanRoom};

/// Requests of a read that is tried on the caller's thread. The bounds keep what an async thread
/// does for one read below what handing the read to another thread costs.
const INLINE_READS_MAX: usize = 64;
/// Of those, scans: opening an iterator costs several lookups.
const INLINE_SCANS_MAX: usize = 16;
/// Rows that such a read may find by scanning.
const INLINE_ROWS_MAX: usize = 256;
/// Bytes of those rows.
const INLINE_BYTES_MAX: usize = 256 << 10;
/// Removed or overwritten rows that a scan may pass on its way from one row to the next.
const INLINE_SKIPS_MAX: u64 = 256;

/// Where reads were answered.
#[derive(Default)]
pub(super) struct ReadCounters {
    /// On the caller's thread, from memory.
    pub inline: AtomicU64,
    /// On a thread that may wait for the disk.
    pub waited: AtomicU64,
}

impl ReadCounters {
    pub fn inline(&self) {
        self.inline.fetch_add(1, Ordering::Relaxed);
    }

    pub fn waited(&self) {
        self.waited.fetch_add(1, Ordering::Relaxed);
    }
}

/// How far a read goes for its rows.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// What is in memory, and little of it; otherwise [`Short::OutOfReach`].
    Memory,
    Disk,
}

/// Why a read has no answer.
enum Short {
    /// It would have to wait for the disk or take long. Decided for the whole read: one view.
    OutOfReach,
    Failed(StoreError),
}

impl From<StoreError> for Short {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<rocksdb::Error> for Short {
    fn from(error: rocksdb::Error) -> Self {
        match error.kind() {
            ErrorKind::Incomplete => Self::OutOfReach,
            _ => Self::Failed(failed(&error)),
        }
    }
}

impl From<Short> for StoreError {
    fn from(short: Short) -> Self {
        match short {
            Short::Failed(error) => error,
            Short::OutOfReach => Self::Damaged("a read of the disk ended early".into()),
        }
    }
}

/// All requests answered from one view without waiting for the disk; `None` if that cannot be.
pub(super) fn from_memory(db: &DB, reads: &[Read]) -> Result<Option<Vec<Got>>, StoreError> {
    let scans = reads.iter().filter(|read| matches!(read, Read::Scan { .. })).count();
    if reads.len() > INLINE_READS_MAX || scans > INLINE_SCANS_MAX {
        return Ok(None);
    }
    match answer_within(db, reads, Reach::Memory) {
        Ok(answers) => Ok(Some(answers)),
        Err(Short::OutOfReach) => Ok(None),
        Err(Short::Failed(error)) => Err(error),
    }
}

/// All requests answered from one view.
pub(super) fn answer(db: &DB, reads: &[Read]) -> Result<Vec<Got>, StoreError> {
    answer_within(db, reads, Reach::Disk).map_err(Into::into)
}

fn answer_within(db: &DB, reads: &[Read], reach: Reach) -> Result<Vec<Got>, Short> {
    // A single request is consistent with itself, and a snapshot costs a lock.
    let snapshot = (reads.len() > 1).then(|| db.snapshot());
    let view = View { db, snapshot: snapshot.as_ref(), reach };
    let mut left = Budget { rows: INLINE_ROWS_MAX, bytes: INLINE_BYTES_MAX };
    let mut answers: Vec<Got> = Vec::with_capacity(reads.len());
    let mut gets: [Vec<(usize, &Key)>; Table::ALL.len()] = Default::default();
    for (index, read) in reads.iter().enumerate() {
        answers.push(match read {
            Read::Get { t, k } => {
                gets[*t as usize - 1].push((index, k));
                Got::One(None)
            }
            Read::Scan { t, lo, hi, rev, limit } => {
                view.scan(&Range { t: *t, lo, hi }, *rev, *limit, &mut left)?
            }
        });
    }
    for (table, gets) in Table::ALL.into_iter().zip(gets) {
        let keys: Vec<&[u8]> = gets.iter().map(|(_, key)| key.as_bytes()).collect();
        let values = view.get_many(table, &keys, Bytes::copy_from_slice)?;
        for ((index, _), value) in gets.iter().zip(values) {
            answers[*index] = Got::One(value);
        }
    }
    Ok(answers)
}

/// One row.
pub(super) fn get(db: &DB, t: Table, k: &Key) -> Result<Option<Bytes>, StoreError> {
    let mut rows = get_many(db, t, &[k.as_bytes()], Bytes::copy_from_slice)?;
    Ok(rows.pop().flatten())
}

/// Many rows of one table; `take` makes what is wanted of a value.
pub(super) fn get_many<T>(
    db: &DB,
    t: Table,
    keys: &[&[u8]],
    take: impl Fn(&[u8]) -> T,
) -> Result<Vec<Option<T>>, StoreError> {
    View::newest(db).get_many(t, keys, take).map_err(Into::into)
}

/// Up to `chunk` rows from a key on, and the key to go on with.
pub(super) fn export(
    db: &DB,
    t: Table,
    from: Option<&Key>,
    chunk: u32,
) -> Result<Chunk, StoreError> {
    export_rows(db, t, from, chunk).map_err(Into::into)
}

fn export_rows(db: &DB, t: Table, from: Option<&Key>, chunk: u32) -> Result<Chunk, Short> {
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
    first_keys(db, range, limit).map_err(Into::into)
}

fn first_keys(db: &DB, range: &Range<'_>, limit: usize) -> Result<Vec<Key>, Short> {
    let mut walk = Walk::over_range(&View::newest(db), range)?;
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

/// What the scans of a read within [`Reach::Memory`] may still find.
struct Budget {
    rows: usize,
    bytes: usize,
}

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), Short> {
        if self.rows == 0 || self.bytes < bytes {
            return Err(Short::OutOfReach);
        }
        self.rows -= 1;
        self.bytes -= bytes;
        Ok(())
    }
}

/// What a read sees, and how far it goes for it.
struct View<'a, 's> {
    db: &'a DB,
    snapshot: Option<&'s Snapshot<'a>>,
    reach: Reach,
}

impl<'a> View<'a, '_> {
    fn newest(db: &'a DB) -> Self {
        Self { db, snapshot: None, reach: Reach::Disk }
    }

    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        if let Some(snapshot) = self.snapshot {
            options.set_snapshot(snapshot);
        }
        if self.reach == Reach::Memory {
            options.set_read_tier(ReadTier::BlockCache);
            options.set_max_skippable_internal_keys(INLINE_SKIPS_MAX);
        }
        options
    }

    fn get_many<T>(
        &self,
        t: Table,
        keys: &[&[u8]],
        take: impl Fn(&[u8]) -> T,
    ) -> Result<Vec<Option<T>>, Short> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let options = self.options();
        let family = family(self.db, t)?;
        if let [key] = keys {
            let value = self.db.get_pinned_cf_opt(family, key, &options)?;
            return Ok(vec![value.map(|value| take(&value))]);
        }
        let values =
            self.db.batched_multi_get_cf_opt(family, keys.iter().copied(), false, &options);
        let value = |value: Option<rocksdb::DBPinnableSlice<'_>>| value.map(|value| take(&value));
        values.into_iter().map(|got| Ok(value(got?))).collect()
    }

    fn scan(
        &self,
        range: &Range<'_>,
        rev: bool,
        limit: u32,
        left: &mut Budget,
    ) -> Result<Got, Short> {
        let mut rows = Vec::new();
        if range.lo >= range.hi {
            return Ok(Got::Rows { rows, more: false });
        }
        let mut room = ScanRoom::new(limit);
        let mut walk = Walk::over_range(self, range)?;
        if rev {
            walk.seek_last(range.hi.as_bytes());
        } else {
            walk.seek(range.lo.as_bytes());
        }
        while let Some((key, value)) = walk.item()? {
            let key = Key::from_bytes(Bytes::copy_from_slice(key));
            if !room.take(&key, value) {
                return Ok(Got::Rows { rows, more: true });
            }
            if self.reach == Reach::Memory {
                left.spend(key.as_bytes().len() + value.len())?;
            }
            rows.push((key, Bytes::copy_from_slice(value)));
            walk.step(rev);
        }
        Ok(Got::Rows { rows, more: false })
    }
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
struct Walk<'a>(DBRawIteratorWithThreadMode<'a, DB>);

impl<'a> Walk<'a> {
    fn over_range(view: &View<'a, '_>, range: &Range<'_>) -> Result<Self, StoreError> {
        let mut options = view.options();
        options.set_iterate_lower_bound(range.lo.as_bytes());
        options.set_iterate_upper_bound(range.hi.as_bytes());
        options.set_total_order_seek(!range.lies_in_one_part());
        Ok(Self::new(view.db, family(view.db, range.t)?, options))
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
    fn item(&self) -> Result<Option<Row<'_>>, Short> {
        let item = self.0.item();
        if item.is_none() {
            // The end, or an error that looks like the end.
            self.0.status()?;
        }
        Ok(item)
    }
}
