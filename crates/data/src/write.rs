//! Typed batches.

use blaupause_store::{Batch, Key, Op, Part, Pending, Pre, Store, StreamPos, Table};

use crate::{
    Change, Data, DataError, Prefix, Row,
    codec::{KeyFields, key_of},
    row::encode,
};

/// Everything one action writes. Committed with [`Data::commit`]: all or nothing, one position.
#[derive(Debug)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Write {
    batch: Batch,
}

impl Write {
    /// An empty batch with this home partition.
    pub fn new(home: Part) -> Self {
        Self { batch: Batch { vshard: home.vshard(), ..Batch::default() } }
    }

    /// Whether nothing would be written.
    pub fn is_empty(&self) -> bool {
        self.batch.ops.is_empty() && self.batch.changes.is_empty()
    }

    /// How many operations the batch has; see [`blaupause_store::LIMITS`].
    pub fn len(&self) -> usize {
        self.batch.ops.len() + self.batch.changes.len()
    }

    /// How many bytes the batch has; see [`blaupause_store::LIMITS`].
    pub fn size_bytes(&self) -> usize {
        self.batch.size_bytes()
    }

    /// Write a row (of a kind without version).
    pub fn put<R: Row>(&mut self, part: Part, key: &R::Key, value: &R::Value) {
        debug_assert!(
            matches!(R::PREFIX, Prefix::Plain | Prefix::Stamped),
            "a versioned row is written with its version"
        );
        self.write::<R>(part, key, 0, value);
    }

    /// Write a row with its new version, which must be greater than 0.
    pub fn put_version<R: Row>(
        &mut self,
        part: Part,
        key: &R::Key,
        version: u64,
        value: &R::Value,
    ) {
        debug_assert!(
            matches!(R::PREFIX, Prefix::Versioned | Prefix::VersionedStamped) && version > 0
        );
        self.write::<R>(part, key, version, value);
    }

    fn write<R: Row>(&mut self, part: Part, key: &R::Key, version: u64, value: &R::Value) {
        let (k, key_at) = key_of(part, R::TAG, key);
        let (v, value_at) = encode::<R>(version, value);
        let (t, v) = (R::TABLE, v.into());
        self.batch.ops.push(if key_at.is_some() || value_at.is_some() {
            Op::PutStamped { t, k, v, key_at, value_at }
        } else {
            Op::Put { t, k, v }
        });
    }

    /// Remove a row, whether or not it exists.
    pub fn del<R: Row>(&mut self, part: Part, key: &R::Key) {
        let (k, _) = key_of(part, R::TAG, key);
        self.batch.ops.push(Op::Del { t: R::TABLE, k });
    }

    /// Remove all rows of a kind whose key starts with `prefix`.
    pub fn del_prefix<R: Row>(&mut self, part: Part, prefix: &impl KeyFields) {
        let (lo, _) = key_of(part, R::TAG, prefix);
        let hi = lo.prefix_end();
        self.batch.ops.push(Op::DelRange { t: R::TABLE, lo, hi });
    }

    /// Remove lines of the change log with `lo <= key < hi`.
    pub(crate) fn del_log(&mut self, lo: Key, hi: Key) {
        self.batch.ops.push(Op::DelRange { t: Table::Seq, lo, hi });
    }

    /// The batch conflicts unless the row is absent.
    pub fn require_absent<R: Row>(&mut self, part: Part, key: &R::Key) {
        let (k, _) = key_of(part, R::TAG, key);
        self.batch.pre.push(Pre::Absent { t: R::TABLE, k });
    }

    /// The batch conflicts unless the row has this version; 0 means that it is absent.
    pub fn require_version<R: Row>(&mut self, part: Part, key: &R::Key, is: u64) {
        debug_assert!(matches!(R::PREFIX, Prefix::Versioned | Prefix::VersionedStamped));
        let (k, _) = key_of(part, R::TAG, key);
        self.batch.pre.push(Pre::Version { t: R::TABLE, k, is });
    }

    pub(crate) fn into_batch(self) -> Batch {
        self.batch
    }

    /// Say in the log what this batch did. Every stored change has such a line.
    pub fn change(&mut self, change: &Change) {
        self.batch.changes.push(change.encode());
    }
}

impl Data {
    /// Queue a batch in call order. Resolves when durable.
    pub fn submit(&self, write: Write) -> Pending {
        self.db().submit(write.batch)
    }

    /// Commit a batch; durable when this returns.
    ///
    /// # Errors
    /// [`DataError::Conflict`] if a precondition did not hold; otherwise the store cannot write.
    pub async fn commit(&self, write: Write) -> Result<StreamPos, DataError> {
        Ok(self.submit(write).await?)
    }
}
