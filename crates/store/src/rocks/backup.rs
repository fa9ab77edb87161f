use std::path::Path;

use rocksdb::{DB, FlushOptions, checkpoint::Checkpoint};

use super::open::{failed, family};
use crate::{StoreError, Table};

/// Write all memtables to table files.
pub(super) fn flush(db: &DB) -> Result<(), StoreError> {
    let mut options = FlushOptions::default();
    options.set_wait(true);
    for table in Table::ALL {
        db.flush_cf_opt(family(db, table)?, &options).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// A copy of the database in a directory that must not exist. Memtables are written out first, so
/// the copy does not need the log; all tables are of the same moment.
pub(super) fn checkpoint(db: &DB, dir: &Path) -> Result<(), StoreError> {
    let checkpoint = Checkpoint::new(db).map_err(|error| failed(&error))?;
    checkpoint.create_checkpoint(dir).map_err(|error| failed(&error))
}
