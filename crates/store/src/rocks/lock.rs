use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use crate::StoreError;

/// Held for as long as the database is used. RocksDB has a lock of its own, but takes it late and
/// reports it only as an I/O error among others. The system frees it if the process dies.
const LOCK_FILE: &str = "blaupause.lock";
/// A process id in decimal digits is not longer.
const HOLDER_BYTES_MAX: u64 = 20;

/// One process per database directory: whoever has this may open the database.
#[derive(Debug)]
pub struct RocksLock(File);

impl Drop for RocksLock {
    /// Closing is not enough: a child process that is just being started has the file, too, until
    /// it becomes another program, and with it the lock.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "cannot unlock the database directory");
        }
    }
}

impl RocksLock {
    /// Take the lock of a database directory, which is made if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it, [`StoreError::Unavailable`] if the
    /// directory cannot be used.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        make_dir(path)?;
        let unavailable = |error: &io::Error| {
            StoreError::Unavailable(format!("database directory {}: {error}", path.display()))
        };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path.join(LOCK_FILE))
            .map_err(|error| unavailable(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: path.to_owned(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(unavailable(&error)),
        }
        // Only for the message above: the lock counts, not what is written here.
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = written {
            tracing::warn!(%error, "cannot write the process id into the lock");
        }
        Ok(Self(file))
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(HOLDER_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The directory, readable by nobody else, with its entry in the parent directory on disk: RocksDB
/// makes its files durable, but not the way to them.
pub(super) fn make_dir(path: &Path) -> Result<(), StoreError> {
    let made = || {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        match path.canonicalize()?.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    made().map_err(|error: io::Error| {
        StoreError::Unavailable(format!("directory {}: {error}", path.display()))
    })
}
