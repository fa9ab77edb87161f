use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::Stored;
use crate::{
    Batch, CommitError, Key, LIMITS, Op, Pre, StreamPos, Table,
    batch::{stamp, version_of},
};

/// What a group writes: the last value of every row it touches, `None` for removed rows.
pub(crate) type Overlay = BTreeMap<(Table, Key), Option<Bytes>>;

/// The stored version of every row that a precondition names; `None` if there is no such row.
pub(crate) type Versions = HashMap<(Table, Key), Option<u64>>;

/// What rows were in the overlay before a batch changed them, oldest first.
type Undo = Vec<((Table, Key), Option<Option<Bytes>>)>;

/// Batches that will be written together. Later ones see earlier ones through the overlay.
pub(crate) struct Group<'a, E> {
    engine: &'a E,
    stored: Versions,
    rows: Overlay,
    last: StreamPos,
}

impl<'a, E: Stored> Group<'a, E> {
    /// A group after position `last`.
    pub fn new(engine: &'a E, stored: Versions, last: StreamPos) -> Self {
        Self { engine, stored, rows: Overlay::new(), last }
    }

    /// Add a batch that is within the limits. If it fails, the group is as if it had never been.
    pub fn add(&mut self, batch: &Batch) -> Result<StreamPos, CommitError> {
        if let Some(pre) = batch.pre.iter().position(|pre| !self.holds(pre)) {
            return Err(CommitError::Conflict { pre });
        }
        let pos = StreamPos(self.last.0 + 1);
        self.apply(&batch.ops, pos)?;
        for (index, change) in (0..).zip(&batch.changes) {
            let key = Batch::log_key(Batch::SLOT, pos.0, index);
            self.rows.insert((Table::Seq, key), Some(change.clone()));
        }
        let position = Bytes::copy_from_slice(&pos.0.to_be_bytes());
        self.rows.insert((Table::Meta, Batch::position_key(Batch::SLOT)), Some(position));
        self.last = pos;
        Ok(pos)
    }

    /// What to write, and the position of the last batch.
    pub fn finish(self) -> (Overlay, StreamPos) {
        (self.rows, self.last)
    }

    fn holds(&self, pre: &Pre) -> bool {
        match pre {
            Pre::Absent { t, k } => self.version(*t, k).is_none(),
            Pre::Version { t, k, is } => self.version(*t, k).unwrap_or(0) == *is,
            Pre::Lease { .. } => true,
        }
    }

    fn version(&self, t: Table, k: &Key) -> Option<u64> {
        let row = (t, k.clone());
        match self.rows.get(&row) {
            Some(value) => value.as_ref().map(|value| version_of(value)),
            None => self.stored.get(&row).copied().flatten(),
        }
    }

    /// All operations or none: removing a range may fail, and then the batch is taken back.
    fn apply(&mut self, ops: &[Op], pos: StreamPos) -> Result<(), CommitError> {
        let may_fail = ops.iter().any(|op| matches!(op, Op::DelRange { .. }));
        let mut undo = Undo::new();
        let mut left = LIMITS.range_rows_max;
        for op in ops {
            if let Err(error) = self.apply_one(op, pos, &mut left, may_fail.then_some(&mut undo)) {
                self.take_back(undo);
                return Err(error);
            }
        }
        Ok(())
    }

    fn apply_one(
        &mut self,
        op: &Op,
        pos: StreamPos,
        left: &mut usize,
        mut undo: Option<&mut Undo>,
    ) -> Result<(), CommitError> {
        match op {
            Op::Put { t, k, v } => self.set((*t, k.clone()), Some(v.clone()), undo),
            Op::PutStamped { t, k, v, key_at, value_at } => {
                let row = (*t, k.stamped(*key_at, pos));
                self.set(row, Some(stamp(v, *value_at, pos)), undo);
            }
            Op::Del { t, k } => self.set((*t, k.clone()), None, undo),
            Op::DelRange { t, lo, hi } => {
                let keys = self.keys(*t, lo, hi, *left)?;
                *left -= keys.len();
                for key in keys {
                    self.set((*t, key), None, undo.as_deref_mut());
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, row: (Table, Key), value: Option<Bytes>, undo: Option<&mut Undo>) {
        match undo {
            Some(undo) => {
                let before = self.rows.insert(row.clone(), value);
                undo.push((row, before));
            }
            None => {
                self.rows.insert(row, value);
            }
        }
    }

    fn take_back(&mut self, undo: Undo) {
        for (row, before) in undo.into_iter().rev() {
            match before {
                Some(value) => self.rows.insert(row, value),
                None => self.rows.remove(&row),
            };
        }
    }

    /// The keys of a range as the next batch would see them; an error if there are more than `max`.
    fn keys(&self, t: Table, lo: &Key, hi: &Key, max: usize) -> Result<Vec<Key>, CommitError> {
        if lo >= hi {
            return Ok(Vec::new()); // BTreeMap::range would panic
        }
        let overlay: Vec<_> = self.rows.range((t, lo.clone())..(t, hi.clone())).collect();
        // Each overlay row hides at most one stored row, so this many suffice to notice an excess.
        let mut keys = self
            .engine
            .keys(t, lo, hi, max + overlay.len() + 1)
            .map_err(|error| CommitError::Unavailable(error.to_string()))?;
        if !overlay.is_empty() {
            keys.retain(|key| !self.rows.contains_key(&(t, key.clone())));
        }
        let written = overlay.into_iter().filter(|(_, value)| value.is_some());
        keys.extend(written.map(|((_, key), _)| key.clone()));
        if keys.len() > max { Err(CommitError::TooLarge) } else { Ok(keys) }
    }
}
