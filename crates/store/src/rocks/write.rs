use rocksdb::{DB, WriteBatch, WriteOptions};

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
        let written = self.with(|db| write(db, rows));
        // Every group brings the disk closer to its end.
        self.space().look();
        written
    }

    fn recover(&self) -> Recovery {
        self.open_again()
    }
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
pub(super) fn write(db: &DB, rows: &Overlay) -> Result<(), StoreError> {
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
    db.write_opt(batch, &options).map_err(|error| failed(&error))
}
