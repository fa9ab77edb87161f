mod disk;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    Batch, Chunk, CommitError, CommitHook, Got, Key, LIMITS, Op, Pending, Pre, Read, Row, Store,
    StoreError, StreamPos, Table,
    batch::{stamp, version_of},
    read::ScanRoom,
};

/// The in-memory twin of the real engines. Counts round trips, so that tests can hold handlers to
/// a budget. Forgets everything when dropped.
#[derive(Clone, Default)]
pub struct MemStore(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rows: Mutex<Rows>,
    position: AtomicU64,
    reads: AtomicU64,
    commits: AtomicU64,
    hook: OnceLock<CommitHook>,
    disk: OnceLock<disk::Disk>,
}

type Rows = BTreeMap<(Table, Key), Bytes>;

/// What rows were before a batch changed them, oldest first.
type Undo = Vec<((Table, Key), Option<Bytes>)>;

impl MemStore {
    /// An empty store at position 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store of its own with the same rows, as a server finds them that starts again.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        let rows = self.0.rows.lock();
        copy.0.position.store(self.0.position.load(Ordering::SeqCst), Ordering::SeqCst);
        copy.0.rows.lock().clone_from(&rows);
        drop(rows);
        copy
    }

    /// Reads and commits so far: `(reads, commits)`.
    pub fn round_trips(&self) -> (u64, u64) {
        (self.0.reads.load(Ordering::SeqCst), self.0.commits.load(Ordering::SeqCst))
    }

    pub(crate) fn on_commit(&self, hook: CommitHook) {
        assert!(self.0.hook.set(hook).is_ok(), "the commit hook is installed once");
    }

    /// See [`crate::Db::import`]. There is no opening anew: the position is taken over at once.
    pub(crate) fn import(&self, imported: Vec<Row>) -> Result<(), StoreError> {
        let mut rows = self.0.rows.lock();
        for (t, k, v) in imported {
            if t == Table::Meta && k == Batch::position_key(Batch::SLOT) {
                self.0.position.store(v.as_deref().map_or(0, version_of), Ordering::SeqCst);
            }
            set(&mut rows, &mut Undo::new(), (t, k), v);
        }
        Ok(())
    }

    fn commit_now(&self, batch: &Batch) -> Result<StreamPos, CommitError> {
        batch.check_limits()?;
        let mut rows = self.0.rows.lock();
        for (index, pre) in batch.pre.iter().enumerate() {
            if !holds(&rows, pre) {
                return Err(CommitError::Conflict { pre: index });
            }
        }
        let pos = StreamPos(self.0.position.load(Ordering::SeqCst) + 1);
        apply(&mut rows, &batch.ops, pos)?;
        for (index, change) in (0..).zip(&batch.changes) {
            let key = Batch::log_key(Batch::SLOT, pos.0, index);
            rows.insert((Table::Seq, key), change.clone());
        }
        let position = Bytes::copy_from_slice(&pos.0.to_be_bytes());
        rows.insert((Table::Meta, Batch::position_key(Batch::SLOT)), position);
        self.0.position.store(pos.0, Ordering::SeqCst);
        if self.0.disk.get().is_none() {
            // Under the lock, so that hooks see batches in commit order.
            self.tell(pos, &batch.changes);
        }
        Ok(pos)
    }

    fn tell(&self, pos: StreamPos, changes: &[Bytes]) {
        if let Some(hook) = self.0.hook.get()
            && !changes.is_empty()
        {
            hook(pos, changes);
        }
    }
}

fn holds(rows: &Rows, pre: &Pre) -> bool {
    match pre {
        Pre::Absent { t, k } => !rows.contains_key(&(*t, k.clone())),
        Pre::Version { t, k, is } => {
            rows.get(&(*t, k.clone())).map_or(0, |value| version_of(value)) == *is
        }
        Pre::Lease { .. } => true,
    }
}

/// All operations or, if they remove too many rows, none.
fn apply(rows: &mut Rows, ops: &[Op], pos: StreamPos) -> Result<(), CommitError> {
    let mut undo = Undo::new();
    let mut removed = 0;
    for op in ops {
        match op {
            Op::Put { t, k, v } => set(rows, &mut undo, (*t, k.clone()), Some(v.clone())),
            Op::PutStamped { t, k, v, key_at, value_at } => {
                let row = (*t, k.stamped(*key_at, pos));
                set(rows, &mut undo, row, Some(stamp(v, *value_at, pos)));
            }
            Op::Del { t, k } => set(rows, &mut undo, (*t, k.clone()), None),
            Op::DelRange { t, lo, hi } => {
                for row in rows_in(rows, *t, lo, hi) {
                    removed += 1;
                    set(rows, &mut undo, row, None);
                }
            }
        }
        if removed > LIMITS.range_rows_max {
            for (row, before) in undo.into_iter().rev() {
                set(rows, &mut Undo::new(), row, before);
            }
            return Err(CommitError::TooLarge);
        }
    }
    Ok(())
}

fn set(rows: &mut Rows, undo: &mut Undo, row: (Table, Key), value: Option<Bytes>) {
    let before = match value {
        Some(value) => rows.insert(row.clone(), value),
        None => rows.remove(&row),
    };
    undo.push((row, before));
}

fn rows_in(rows: &Rows, t: Table, lo: &Key, hi: &Key) -> Vec<(Table, Key)> {
    if lo >= hi {
        return Vec::new(); // BTreeMap::range would panic
    }
    rows.range((t, lo.clone())..(t, hi.clone())).map(|(row, _)| row.clone()).collect()
}

impl Store for MemStore {
    async fn read(&self, reads: Vec<Read>) -> Result<Vec<Got>, StoreError> {
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        if let Some(disk) = self.0.disk.get() {
            disk.seek().await;
        }
        let rows = self.0.rows.lock();
        Ok(reads.into_iter().map(|read| answer(&rows, read)).collect())
    }

    fn submit(&self, batch: Batch) -> Pending {
        self.0.commits.fetch_add(1, Ordering::SeqCst);
        let (sender, pending) = Pending::channel();
        let result = self.commit_now(&batch);
        match self.0.disk.get() {
            Some(disk) => disk.keep(result, batch.changes, sender),
            None => drop(sender.send(result)),
        }
        pending
    }

    fn position(&self) -> StreamPos {
        StreamPos(self.0.position.load(Ordering::SeqCst))
    }

    async fn export(&self, t: Table, from: Option<Key>, chunk: u32) -> Result<Chunk, StoreError> {
        let rows = self.0.rows.lock();
        let from = from.unwrap_or_else(|| Key::from_bytes(Bytes::new()));
        let chunk = chunk.clamp(1, LIMITS.scan_rows_max) as usize;
        let mut range = rows.range((t, from)..).take_while(|((table, _), _)| *table == t);
        let chunk: Vec<_> =
            range.by_ref().take(chunk).map(|((_, k), v)| (k.clone(), v.clone())).collect();
        Ok((chunk, range.next().map(|((_, k), _)| k.clone())))
    }
}

fn answer(rows: &Rows, read: Read) -> Got {
    match read {
        Read::Get { t, k } => Got::One(rows.get(&(t, k)).cloned()),
        Read::Scan { t, lo, hi, rev, limit } => {
            if lo >= hi {
                return Got::Rows { rows: Vec::new(), more: false };
            }
            let range = rows.range((t, lo)..(t, hi)).map(|((_, k), v)| (k.clone(), v.clone()));
            if rev { page(range.rev(), limit) } else { page(range, limit) }
        }
    }
}

fn page(range: impl Iterator<Item = (Key, Bytes)>, limit: u32) -> Got {
    let mut room = ScanRoom::new(limit);
    let mut rows = Vec::new();
    for (key, value) in range {
        if !room.take(&key, &value) {
            return Got::Rows { rows, more: true };
        }
        rows.push((key, value));
    }
    Got::Rows { rows, more: false }
}
