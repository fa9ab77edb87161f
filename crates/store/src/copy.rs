//! Moves everything from one engine to another: how a site changes its engine.
//!
//! The source is read once to count and sum it up, copied chunk by chunk, and the target is then
//! read and summed up in the same way: only if both agree row by row is the target released. A
//! chunk and the place to go on at are one atomic write, so a copy that was killed goes on where
//! it was. While that place stands in a store, no server opens it.
//!
//! Nobody else may use either store meanwhile; that is for the caller to ensure.

mod place;
mod sum;

use crate::{CopyError, Db, Key, Read, Row, Store, StoreError, StreamPos, Table};
use place::Place;
pub use sum::{Sum, Sums};

/// Rows of one read and one write. A value has at most 100 kB, usually 1 kB.
const CHUNK_ROWS: u32 = 1_000;

/// What a copy is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading the source to count it and sum it up.
    Counting,
    /// Writing into the target.
    Copying,
    /// Reading the target and comparing.
    Checking,
}

/// How far a copy is, told after every chunk.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub phase: Phase,
    pub table: Table,
    /// Rows and bytes of this phase so far; after an interruption with what was done before it.
    pub rows: u64,
    pub bytes: u64,
    /// Rows and bytes when the phase ends; `None` while they are being counted.
    pub total: Option<(u64, u64)>,
}

/// What was copied.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Per table, the same in both stores.
    pub sums: Sums,
    /// Where the stream goes on when the target is opened.
    pub position: StreamPos,
    /// Rows that an earlier, interrupted copy had already written.
    pub rows_before: u64,
}

/// Copy everything. The target must be empty or hold the beginning of a copy of the same source.
/// Afterwards it must be closed and opened anew before it takes batches.
///
/// # Errors
/// [`CopyError`]; the source is never changed. After an engine's error the copy can be called
/// again and goes on.
pub async fn copy(
    from: &Db,
    to: &Db,
    mut watch: impl FnMut(Progress),
) -> Result<Copied, CopyError> {
    if is_unfinished(from).await? {
        return Err(CopyError::SourceUnfinished);
    }
    let before = Place::read(to).await?;
    if before.is_none() && !is_empty(to).await? {
        return Err(CopyError::TargetInUse);
    }
    let sums = sum::up(from, &mut |progress| watch(progress), Phase::Counting, None).await?;
    let place = match before {
        Some(place) if place.sums != sums => return Err(CopyError::SourceChanged),
        Some(place) => place,
        None => Place::at_the_beginning(sums),
    };
    let rows_before = place.rows;
    copy_rows(from, to, place, &mut watch).await?;
    let found = sum::up(to, &mut watch, Phase::Checking, Some(sums.total())).await?;
    if found != sums {
        return Err(CopyError::Differs { wanted: Box::new(sums), found: Box::new(found) });
    }
    to.import(vec![(Table::Meta, Place::key(), None)]).await?;
    Ok(Copied { sums, position: from.position(), rows_before })
}

/// Whether a copy into this store was begun and not ended: no server may use it then.
///
/// # Errors
/// If the store cannot be read.
pub async fn is_unfinished(store: &Db) -> Result<bool, StoreError> {
    Ok(Place::read(store).await?.is_some())
}

/// Whether a store has no rows.
///
/// # Errors
/// If the store cannot be read.
pub async fn is_empty(store: &Db) -> Result<bool, StoreError> {
    let all = |t| Read::Scan { t, lo: first_key(), hi: last_key(), rev: false, limit: 1 };
    let found = store.read(Table::ALL.map(all).into()).await?;
    Ok(found.iter().all(|got| matches!(got, crate::Got::Rows { rows, .. } if rows.is_empty())))
}

async fn copy_rows(
    from: &Db,
    to: &Db,
    mut place: Place,
    watch: &mut impl FnMut(Progress),
) -> Result<(), StoreError> {
    let total = Some(place.sums.total());
    let mut read = from.export(place.table, place.from.clone(), CHUNK_ROWS).await?;
    loop {
        let table = place.table;
        let (rows, next) = std::mem::take(&mut read);
        place.add(&rows);
        let is_last = !place.go_on_at(next);
        let mut writes: Vec<Row> =
            rows.into_iter().map(|(key, value)| (table, key, Some(value))).collect();
        writes.push((Table::Meta, Place::key(), Some(place.to_bytes())));
        // The next chunk is read while this one waits for the disk.
        let ahead = async {
            if is_last {
                return Ok(Default::default());
            }
            from.export(place.table, place.from.clone(), CHUNK_ROWS).await
        };
        let (written, ahead) = tokio::join!(to.import(writes), ahead);
        written?;
        read = ahead?;
        let (rows, bytes) = (place.rows, place.bytes);
        watch(Progress { phase: Phase::Copying, table, rows, bytes, total });
        if is_last {
            return Ok(());
        }
    }
}

/// Bounds of everything: keys have at least the 8 bytes of a partition, and partition 2^64-1 with
/// tag 255 is never written.
fn first_key() -> Key {
    Key::from_bytes(Vec::new())
}

fn last_key() -> Key {
    Key::from_bytes(vec![u8::MAX; 9])
}

#[cfg(test)]
mod tests;
