//! The stored log, for followers that keep a cursor.

use blaupause_store::{Batch, Got, Part, Read, Store, StreamPos, Table};

use crate::{Change, Data, DataError, Write, rows::CursorRow};

/// The slot whose log this node writes.
const SLOT: u8 = 1;

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
        let hi = Batch::log_key(SLOT, u64::MAX, u16::MAX);
        let mut found = self.scan_log(after.0 + 1, hi.clone(), limit).await?;
        if found.len() == limit as usize
            && let Some((last, _)) = found.last().cloned()
        {
            // Read the last batch again as a whole; its size is bounded by the store.
            found.retain(|(pos, _)| *pos != last);
            let end = Batch::log_key(SLOT, last.0 + 1, 0);
            let most = blaupause_store::LIMITS.batch_ops_max as u32;
            found.extend(self.scan_log(last.0, end, most).await?);
        }
        Ok(found)
    }

    async fn scan_log(
        &self,
        from: u64,
        hi: blaupause_store::Key,
        limit: u32,
    ) -> Result<Vec<(StreamPos, Change)>, DataError> {
        let lo = Batch::log_key(SLOT, from, 0);
        let read = Read::Scan { t: Table::Seq, lo, hi, rev: false, limit };
        let Some(Got::Rows { rows, .. }) = self.db().read(vec![read]).await?.pop() else {
            unreachable!("a scan answers with rows")
        };
        let damaged = || DataError::Damaged("seq/l".into());
        rows.iter()
            .map(|(key, line)| {
                let pos = key.as_bytes().get(9..17).ok_or_else(damaged)?;
                let pos = u64::from_be_bytes(pos.try_into().map_err(|_| damaged())?);
                Ok((StreamPos(pos), Change::decode(line).ok_or_else(damaged)?))
            })
            .collect()
    }

    /// How far a follower has come; the beginning if it never ran.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn cursor(&self, follower: &str) -> Result<StreamPos, DataError> {
        let row = self.get::<CursorRow>(Part::slot(SLOT), &follower.to_owned()).await?;
        Ok(StreamPos(row.map_or(0, |row| row.value)))
    }
}

impl Write {
    /// Note in this batch how far a follower has come.
    pub fn cursor(&mut self, follower: &str, pos: StreamPos) {
        self.put::<CursorRow>(Part::slot(SLOT), &follower.to_owned(), &pos.0);
    }
}
