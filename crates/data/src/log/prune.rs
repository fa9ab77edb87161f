//! Old lines of the log are removed (`docs/decisions`, "The change log is pruned").

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use blaupause_store::{Batch, Key, Part, StreamPos};

use super::{Lines, SLOT, start_of};
use crate::{Data, DataError, Write, feed::RECENT_BATCHES_MAX, rows::CursorRow};

/// How often old lines are looked for.
const EVERY: Duration = Duration::from_secs(60);
/// Newest positions whose lines are kept whoever has read them: a server that starts again knows
/// from them what happened lately. As many as are kept in memory.
pub const POSITIONS_KEPT: u64 = RECENT_BATCHES_MAX as u64;
/// Lines that one batch removes. More than a batch can write, so that there is always a whole one.
const LINES_PER_BATCH: u32 = 10_000;
/// Batches of removals in one go; what remains waits for the next.
const BATCHES_MAX: usize = 100;
/// Name of the cursor that says up to where lines were removed.
const PRUNED: &str = "log";

/// What was removed so far.
#[derive(Debug, Default)]
pub(crate) struct Pruning {
    lines: AtomicU64,
    upto: AtomicU64,
}

/// What the log holds, for the operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Lines removed since the server started.
    pub pruned_lines: u64,
    /// Positions whose lines are still there.
    pub kept_positions: u64,
}

impl Data {
    /// What the log holds.
    pub fn log_state(&self) -> LogState {
        let pruning = self.pruning();
        let upto = pruning.upto.load(Ordering::SeqCst);
        LogState {
            pruned_lines: pruning.lines.load(Ordering::SeqCst),
            kept_positions: self.position().0.saturating_sub(upto),
        }
    }

    /// Remove old lines from time to time until the server stops.
    pub async fn run_log_pruner(&self) {
        let stop = self.env().stop().clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(error) = self.prune_log(POSITIONS_KEPT).await {
                tracing::warn!(%error, "old lines of the change log could not be removed");
            }
        }
    }

    /// Remove lines that every follower of this process has read, those of the newest `keep`
    /// positions excepted. Answers how many; a bounded number at a time.
    ///
    /// # Errors
    /// The store cannot be read or written. What was removed until then is gone.
    pub async fn prune_log(&self, keep: u64) -> Result<u64, DataError> {
        let newest = StreamPos(self.position().0.saturating_sub(keep));
        let until = self.passed_by_all().await?.map_or(newest, |passed| passed.min(newest));
        let mut from = self.pruned_to().await?;
        let mut removed = 0;
        for _ in 0..BATCHES_MAX {
            if from >= until || self.env().stop().is_cancelled() {
                break;
            }
            let (lo, hi) = (start_of(from.0 + 1), start_of(until.0 + 1));
            let Lines { lines, more } =
                self.scan_log(lo.clone(), hi, false, LINES_PER_BATCH).await?;
            let Some((last, _)) = lines.last() else { break };
            // The last batch may go on behind the answer: it goes the next time.
            let upto = if more { StreamPos(last.0 - 1) } else { until };
            let count = lines.iter().filter(|(pos, _)| *pos <= upto).count() as u64;
            self.remove_lines(lo, upto).await?;
            self.pruning().lines.fetch_add(count, Ordering::SeqCst);
            removed += count;
            from = upto;
        }
        Ok(removed)
    }

    async fn remove_lines(&self, lo: Key, upto: StreamPos) -> Result<(), DataError> {
        let mut write = Write::new(Part::slot(SLOT));
        write.del_log(lo, Batch::log_key(SLOT, upto.0 + 1, 0));
        write.cursor(PRUNED, upto);
        self.commit(write).await?;
        self.pruning().upto.store(upto.0, Ordering::SeqCst);
        Ok(())
    }

    /// Up to where lines were removed; the beginning if none ever were.
    pub(crate) async fn pruned_to(&self) -> Result<StreamPos, DataError> {
        let row = self.get::<CursorRow>(Part::slot(SLOT), &PRUNED.to_owned()).await?;
        let upto = row.map_or(0, |row| row.value);
        self.pruning().upto.store(upto, Ordering::SeqCst);
        Ok(StreamPos(upto))
    }
}
