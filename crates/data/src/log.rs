//! The stored log, for followers that keep a cursor.

mod prune;

use std::collections::BTreeMap;

use blaupause_store::{Batch, Got, Key, LIMITS, Part, Read, Store, StreamPos, Table};
use parking_lot::Mutex;

pub use prune::LogState;
pub(crate) use prune::Pruning;

use crate::{Change, Committed, Data, DataError, ReadSet, Write, rows::CursorRow};

/// The slot whose log this node writes.
const SLOT: u8 = 1;
/// Lines at the end of the log that are read when the server starts, at most; one answer of the
/// store may hold fewer.
const TAIL_LINES_MAX: u32 = 50_000;

/// The followers of this process: what they have not read is not pruned.
pub(crate) type Followers = Mutex<Vec<String>>;

/// Lines of the log and whether the answer was full.
struct Lines {
    lines: Vec<(StreamPos, Change)>,
    more: bool,
}

impl Data {
    /// Up to `limit` changes after a position, oldest first, each with its position. A batch is
    /// never cut: if the limit falls into one, its remaining changes come too.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn log_after(
        &self,
        after: StreamPos,
        limit: u32,
    ) -> Result<Vec<(StreamPos, Change)>, DataError> {
        let (lo, hi) = (start_of(after.0 + 1), Batch::log_key(SLOT, u64::MAX, u16::MAX));
        let Lines { lines: mut found, more } = self.scan_log(lo, hi, false, limit).await?;
        if more && let Some((last, _)) = found.last().cloned() {
            // Read the last batch again as a whole: it fits into one answer, because the store
            // bounds a batch to less.
            found.retain(|(pos, _)| *pos != last);
            let (lo, hi) = (start_of(last.0), start_of(last.0 + 1));
            let most = LIMITS.batch_ops_max as u32;
            found.extend(self.scan_log(lo, hi, false, most).await?.lines);
        }
        Ok(found)
    }

    /// The newest batches of the stored log, oldest first, and the position after which nothing
    /// is missing. One round trip.
    pub(crate) async fn log_tail(&self) -> Result<(Vec<Committed>, StreamPos), DataError> {
        let pruned = self.pruned_to().await?;
        let (lo, hi) = (start_of(pruned.0 + 1), Batch::log_key(SLOT, u64::MAX, u16::MAX));
        let Lines { lines, more } = self.scan_log(lo, hi, true, TAIL_LINES_MAX).await?;
        let mut batches: BTreeMap<StreamPos, Vec<Change>> = BTreeMap::new();
        for (pos, change) in lines {
            batches.entry(pos).or_default().push(change);
        }
        let mut complete_after = pruned;
        if more && let Some((cut, _)) = batches.pop_first() {
            complete_after = cut;
        }
        let whole = |(pos, mut changes): (StreamPos, Vec<Change>)| {
            changes.reverse();
            (pos, changes.into())
        };
        Ok((batches.into_iter().map(whole).collect(), complete_after))
    }

    async fn scan_log(&self, lo: Key, hi: Key, rev: bool, limit: u32) -> Result<Lines, DataError> {
        let read = Read::Scan { t: Table::Seq, lo, hi, rev, limit };
        let Some(Got::Rows { rows, more }) = self.db().read(vec![read]).await?.pop() else {
            unreachable!("a scan answers with rows")
        };
        let damaged = || DataError::Damaged("seq/l".into());
        let lines = rows
            .iter()
            .map(|(key, line)| {
                let pos = key.as_bytes().get(9..17).ok_or_else(damaged)?;
                let pos = u64::from_be_bytes(pos.try_into().map_err(|_| damaged())?);
                Ok((StreamPos(pos), Change::decode(line).ok_or_else(damaged)?))
            })
            .collect::<Result<_, DataError>>()?;
        Ok(Lines { lines, more })
    }

    /// Say that a follower of this name runs in this process, so that the log keeps what it has
    /// not read yet. Asking for its cursor says so, too.
    pub fn follow_log(&self, follower: &str) {
        let mut followers = self.log_followers().lock();
        if !followers.iter().any(|known| known == follower) {
            followers.push(follower.to_owned());
        }
    }

    /// How far a follower has come; the beginning if it never ran. The log may begin later: see
    /// [`Data::prune_log`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn cursor(&self, follower: &str) -> Result<StreamPos, DataError> {
        self.follow_log(follower);
        let row = self.get::<CursorRow>(Part::slot(SLOT), &follower.to_owned()).await?;
        Ok(StreamPos(row.map_or(0, |row| row.value)))
    }

    /// Note how far a follower has come, in a batch of its own.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn store_cursor(&self, follower: &str, pos: StreamPos) -> Result<(), DataError> {
        let mut write = Write::new(Part::slot(SLOT));
        write.cursor(follower, pos);
        self.commit(write).await?;
        Ok(())
    }

    /// The position that all followers of this process have passed; `None` if there are none.
    async fn passed_by_all(&self) -> Result<Option<StreamPos>, DataError> {
        let followers = self.log_followers().lock().clone();
        let mut want = ReadSet::new();
        let part = Part::slot(SLOT);
        let slots: Vec<_> =
            followers.iter().map(|name| want.get::<CursorRow>(part, name)).collect();
        let got = want.run(self).await?;
        let mut least = None;
        for slot in slots {
            let at = got.one(slot)?.map_or(0, |row| row.value);
            least = Some(least.map_or(at, |least: u64| least.min(at)));
        }
        Ok(least.map(StreamPos))
    }
}

/// The first key of a position in the log.
fn start_of(pos: u64) -> Key {
    Batch::log_key(SLOT, pos, 0)
}

impl Write {
    /// Note in this batch how far a follower has come.
    pub fn cursor(&mut self, follower: &str, pos: StreamPos) {
        self.put::<CursorRow>(Part::slot(SLOT), &follower.to_owned(), &pos.0);
    }
}
