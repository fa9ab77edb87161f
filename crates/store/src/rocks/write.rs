use std::{
    thread,
    time::{Duration, Instant},
};

use rocksdb::{DB, ErrorKind, WriteBatch, WriteOptions};

use super::{
    open::{Database, failed, family},
    read::{self, Range},
};
use crate::{
    Key, StoreError, Table,
    batch::version_of,
    committer::{Engine, Overlay, Recovery, Stored},
};

impl Stored for Database {
    fn keys(&self, t: Table, lo: &Key, hi: &Key, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.with(|db| read::keys(db, &Range { t, lo, hi }, limit))
    }
}

impl Engine for Database {
    fn versions(&self, rows: &[(Table, Key)]) -> Result<Vec<Option<u64>>, StoreError> {
        self.with(|db| versions(db, rows))
    }

    fn write(&self, rows: &Overlay) -> Result<(), StoreError> {
        let written = self.write_patiently(rows);
        // Every group brings the disk closer to its end.
        self.space().look();
        written
    }

    fn recover(&self) -> Recovery {
        if self.is_stalled() { self.wait_for_merging() } else { self.open_again() }
    }
}

/// How long a group waits for an engine that has to merge files before it takes more rows.
const STALL_MAX: Duration = Duration::from_secs(10);
/// Between two looks at such an engine.
const STALL_LOOK: Duration = Duration::from_millis(2);

impl Database {
    /// RocksDB itself would wait without an end: on a full disk merging fails again and again.
    pub fn write_patiently(&self, rows: &Overlay) -> Result<(), StoreError> {
        #[expect(clippy::disallowed_methods, reason = "a limit on how long a thread waits")]
        let started = Instant::now();
        loop {
            let written = self.with(|db| write(db, rows))?;
            self.set_stalled(written == Written::Stalled);
            if written == Written::Yes {
                return Ok(());
            }
            if started.elapsed() > STALL_MAX {
                let why = "table files cannot be merged, or not fast enough";
                return Err(StoreError::Unavailable(why.into()));
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "the commit thread, or one for the disk"
            )]
            thread::sleep(STALL_LOOK);
        }
    }
}

/// What became of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Yes,
    /// Nothing was written: the engine takes no rows until it has merged files.
    Stalled,
}

fn versions(db: &DB, rows: &[(Table, Key)]) -> Result<Vec<Option<u64>>, StoreError> {
    let mut versions = vec![None; rows.len()];
    for table in Table::ALL {
        let wanted = || rows.iter().enumerate().filter(|(_, (t, _))| *t == table);
        let keys: Vec<&[u8]> = wanted().map(|(_, (_, key))| key.as_bytes()).collect();
        let found = read::get_many(db, table, &keys, version_of)?;
        for ((index, _), version) in wanted().zip(found) {
            versions[index] = version;
        }
    }
    Ok(versions)
}

/// One atomic write, with an fsync of the log before it returns.
fn write(db: &DB, rows: &Overlay) -> Result<Written, StoreError> {
    let mut batch = WriteBatch::default();
    for ((table, key), value) in rows {
        let family = family(db, *table)?;
        match value {
            Some(value) => batch.put_cf(family, key.as_bytes(), value),
            None => batch.delete_cf(family, key.as_bytes()),
        }
    }
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options.set_no_slowdown(true);
    match db.write_opt(batch, &options) {
        Ok(()) => Ok(Written::Yes),
        Err(error) if error.kind() == ErrorKind::Incomplete => Ok(Written::Stalled),
        Err(error) => Err(failed(&error)),
    }
}
