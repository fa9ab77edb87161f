//! Free space of the disk, watched so that writes end before the disk does.
//!
//! RocksDB that meets a full disk stops writing altogether, and a start on a full disk may fail. So
//! the store refuses first, in two steps, and keeps a file that it can give up when space is
//! needed to get out.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::{Batch, CommitError, Op};

/// Lies in the database's directory, where RocksDB ignores it.
const RESERVE_FILE: &str = "blaupause.reserve";
/// Bytes of a batch that is refused as soon as space is low.
const LARGE_BATCH_BYTES: usize = 64 << 10;
/// Bytes of a batch that removes rows and may still be written when the disk is full, so that
/// people can log out.
const SMALL_BATCH_BYTES: usize = 16 << 10;

/// How much of the disk stays free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceLimits {
    /// Free bytes below which large batches are refused, and no media should be taken in.
    pub low_bytes: u64,
    /// Free bytes below which nothing is written any more.
    pub min_bytes: u64,
    /// Bytes of a file that is given up when the disk is full; 0: there is none.
    pub reserve_bytes: u64,
}

impl SpaceLimits {
    /// Writes go on until the disk is full.
    pub const NONE: Self = Self { low_bytes: 0, min_bytes: 0, reserve_bytes: 0 };
}

impl Default for SpaceLimits {
    fn default() -> Self {
        Self { low_bytes: 2 << 30, min_bytes: 512 << 20, reserve_bytes: 0 }
    }
}

/// How full the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Enough,
    Low,
    Full,
}

pub(super) struct Space {
    /// The directories of the database and of its log.
    dirs: Vec<PathBuf>,
    reserve: PathBuf,
    limits: SpaceLimits,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    level: Level,
    free_bytes: u64,
}

impl Space {
    pub fn new(path: &Path, wal_dir: Option<&Path>, limits: SpaceLimits) -> Self {
        let dirs = [Some(path), wal_dir].into_iter().flatten().map(Into::into).collect();
        let seen = Mutex::new(Seen { level: Level::Enough, free_bytes: u64::MAX });
        let space = Self { dirs, reserve: path.join(RESERVE_FILE), limits, seen };
        space.look();
        space
    }

    /// Look at the disk; what is free and what that means.
    pub fn look(&self) -> (Level, u64) {
        let mut seen = self.seen.lock();
        // A file system that does not say what is free is no reason to refuse writes.
        let free_bytes =
            self.dirs.iter().filter_map(|dir| free_bytes(dir).ok()).min().unwrap_or(u64::MAX);
        let before = seen.level;
        *seen = Seen { level: self.level(before, free_bytes), free_bytes };
        self.tell(before, *seen);
        match seen.level {
            Level::Full => self.give_up_reserve(),
            Level::Low | Level::Enough => self.keep_reserve(free_bytes),
        }
        (seen.level, free_bytes)
    }

    fn level(&self, before: Level, free_bytes: u64) -> Level {
        let SpaceLimits { low_bytes, min_bytes, reserve_bytes } = self.limits;
        // The reserve that was given up must fit again before writes go on.
        let again_bytes = min_bytes + if before == Level::Full { reserve_bytes } else { 0 };
        if free_bytes < again_bytes {
            Level::Full
        } else if free_bytes < low_bytes {
            Level::Low
        } else {
            Level::Enough
        }
    }

    fn tell(&self, before: Level, seen: Seen) {
        let free_mib = seen.free_bytes >> 20;
        match seen.level {
            level if level == before => {}
            Level::Enough => tracing::info!(free_mib, "the database has enough space again"),
            Level::Low => {
                tracing::warn!(free_mib, "little space is left: large writes are refused");
            }
            Level::Full => tracing::error!(free_mib, "the disk is full: writes are refused"),
        }
    }

    /// Whether a batch may be written.
    pub fn admit(&self, batch: &Batch) -> Result<(), CommitError> {
        let seen = *self.seen.lock();
        if seen.level == Level::Enough {
            return Ok(());
        }
        let (level, free_bytes) = self.look();
        let refused = match level {
            Level::Enough => false,
            Level::Low => batch.size_bytes() > LARGE_BATCH_BYTES,
            Level::Full => !frees(batch) || free_bytes < self.limits.min_bytes / 2,
        };
        if refused { Err(CommitError::DiskFull) } else { Ok(()) }
    }

    fn give_up_reserve(&self) {
        match fs::remove_file(&self.reserve) {
            Ok(()) => tracing::warn!("gave up the reserved space"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(%error, "cannot give up the reserved space"),
        }
    }

    fn keep_reserve(&self, free_bytes: u64) {
        let SpaceLimits { min_bytes, reserve_bytes, .. } = self.limits;
        if reserve_bytes == 0 || free_bytes < min_bytes + reserve_bytes || self.reserve.exists() {
            return;
        }
        let kept = File::create(&self.reserve)
            .and_then(|file| Ok(fallocate(&file, FallocateFlags::empty(), 0, reserve_bytes)?));
        if let Err(error) = kept {
            tracing::warn!(%error, "cannot reserve space on this file system");
        }
    }
}

/// Whether a batch removes rows and is small.
fn frees(batch: &Batch) -> bool {
    batch.ops.iter().any(|op| matches!(op, Op::Del { .. } | Op::DelRange { .. }))
        && batch.size_bytes() <= SMALL_BATCH_BYTES
}

/// Bytes that this process may still write to the file system of a directory.
fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Key, Part, Table};

    const LIMITS: SpaceLimits = SpaceLimits { low_bytes: 100, min_bytes: 50, reserve_bytes: 20 };

    fn space(limits: SpaceLimits) -> (tempfile::TempDir, Space) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let space = Space::new(dir.path(), None, limits);
        (dir, space)
    }

    fn batch(op: Op) -> Batch {
        Batch { ops: vec![op], ..Batch::default() }
    }

    #[test]
    fn writes_go_on_only_when_the_reserve_fits_again() {
        let (_dir, space) = space(LIMITS);
        assert_eq!(space.level(Level::Enough, 100), Level::Enough);
        assert_eq!(space.level(Level::Enough, 99), Level::Low);
        assert_eq!(space.level(Level::Low, 50), Level::Low);
        assert_eq!(space.level(Level::Low, 49), Level::Full);
        // Without its reserve the disk has 20 more, and is full nevertheless.
        assert_eq!(space.level(Level::Full, 69), Level::Full);
        assert_eq!(space.level(Level::Full, 70), Level::Low);
    }

    #[test]
    fn full_disk_takes_nothing_and_has_no_reserve() {
        let (dir, space) = space(SpaceLimits { reserve_bytes: 4_096, ..LIMITS });
        let reserve = dir.path().join(RESERVE_FILE);
        assert_eq!(reserve.metadata().expect("reserve").len(), 4_096);
        drop(space);
        let limits = SpaceLimits { low_bytes: u64::MAX, min_bytes: u64::MAX, reserve_bytes: 0 };
        let space = Space::new(dir.path(), None, limits);
        assert!(!reserve.exists());
        let put = Op::Put { t: Table::Usr, k: Key::new(Part(1), b'k'), v: Bytes::new() };
        assert_eq!(space.admit(&batch(put)), Err(CommitError::DiskFull));
    }

    #[test]
    fn low_disk_takes_small_batches_and_removals() {
        let (_dir, space) = space(SpaceLimits { low_bytes: u64::MAX, ..SpaceLimits::NONE });
        let key = Key::new(Part(1), b'k');
        let put = |bytes| Op::Put { t: Table::Usr, k: key.clone(), v: vec![0; bytes].into() };
        assert_eq!(space.admit(&batch(put(1_000))), Ok(()));
        assert_eq!(space.admit(&batch(put(LARGE_BATCH_BYTES))), Err(CommitError::DiskFull));
        assert!(frees(&batch(Op::Del { t: Table::Usr, k: key.clone() })));
        assert!(!frees(&batch(put(1))));
    }
}
