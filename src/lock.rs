//! One process per database folder.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// Held as long as this process uses the database. The system frees it if the process dies.
#[derive(Debug)]
pub struct DatabaseLock {
    _file: File,
}

/// What a try to take the lock gives.
#[derive(Debug)]
pub enum Taken {
    Ours(DatabaseLock),
    /// Another process has it: the server is running.
    Busy,
}

/// Try to take the lock of a database folder. The file lies beside the folder, because everything
/// inside belongs to the engine.
///
/// # Errors
/// If the folder above cannot be made or written.
pub fn take(database: &Path) -> anyhow::Result<Taken> {
    let file = lock_file(database);
    if let Some(parent) = file.parent() {
        make_folder(parent)?;
    }
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file)
        .with_context(|| format!("cannot open the lock {}", file.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Taken::Ours(DatabaseLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(Taken::Busy),
        Err(TryLockError::Error(error)) => Err(error).context("cannot lock the database"),
    }
}

/// Take the lock or say that another server runs.
///
/// # Errors
/// As [`take`], and if another process has the lock.
pub fn take_or_fail(database: &Path) -> anyhow::Result<DatabaseLock> {
    match take(database)? {
        Taken::Ours(lock) => Ok(lock),
        Taken::Busy => bail!(
            "another Blaupause process uses {} (its lock is {})",
            database.display(),
            lock_file(database).display()
        ),
    }
}

fn lock_file(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Make a folder that only its owner may read, with its parents.
///
/// # Errors
/// If it cannot be made.
pub fn make_folder(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("data/db");
        let first = take_or_fail(&database).expect("free");
        assert!(matches!(take(&database), Ok(Taken::Busy)));
        assert!(take_or_fail(&database).is_err());
        drop(first);
        assert!(matches!(take(&database), Ok(Taken::Ours(_))));
    }
}
