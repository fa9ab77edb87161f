use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{CHUNK_ROWS, Phase, Place, Progress};
use crate::{Db, Key, Store, StoreError, Table};

/// What a table holds: two tables with the same sum have the same rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// SHA-256 over every row in key order: length of the key, key, length of the value, value;
    /// lengths as 4 bytes, big-endian.
    pub sha256: [u8; 32],
}

/// The sums of all tables, in the order of [`Table::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums(pub [Sum; Table::ALL.len()]);

impl Sums {
    /// Rows and bytes of all tables together.
    pub fn total(&self) -> (u64, u64) {
        self.0.iter().fold((0, 0), |(rows, bytes), sum| (rows + sum.rows, bytes + sum.bytes))
    }

    /// Tables with their sums.
    pub fn tables(&self) -> impl Iterator<Item = (Table, Sum)> + '_ {
        Table::ALL.into_iter().zip(self.0)
    }
}

/// Read a whole store and sum it up; the place of an unfinished copy does not count.
pub(super) async fn up(
    store: &Db,
    watch: &mut impl FnMut(Progress),
    phase: Phase,
    total: Option<(u64, u64)>,
) -> Result<Sums, StoreError> {
    let mut sums = Sums::default();
    for (index, table) in Table::ALL.into_iter().enumerate() {
        let (rows_before, bytes_before) = sums.total();
        let mut hash = Sha256::new();
        let sum = &mut sums.0[index];
        let mut read = store.export(table, None, CHUNK_ROWS).await?;
        loop {
            let (rows, next) = read;
            // The next chunk is read while this one is summed up: on an engine over a network
            // that is most of the time.
            let ahead = async {
                match &next {
                    Some(_) => store.export(table, next.clone(), CHUNK_ROWS).await,
                    None => Ok(Default::default()),
                }
            };
            let added = async { add(sum, &mut hash, table, &rows) };
            let (ahead, ()) = tokio::join!(ahead, added);
            read = ahead?;
            let (rows, bytes) = (rows_before + sum.rows, bytes_before + sum.bytes);
            watch(Progress { phase, table, rows, bytes, total });
            if next.is_none() {
                break;
            }
        }
        sum.sha256 = hash.finalize().into();
    }
    Ok(sums)
}

fn add(sum: &mut Sum, hash: &mut Sha256, table: Table, rows: &[(Key, Bytes)]) {
    let place = Place::key();
    for (key, value) in rows {
        if table == Table::Meta && *key == place {
            continue;
        }
        for part in [key.as_bytes(), value] {
            let length = u32::try_from(part.len()).expect("rows are within the size limits");
            hash.update(length.to_be_bytes());
            hash.update(part);
            sum.bytes += u64::from(length);
        }
        sum.rows += 1;
    }
}
