use bytes::{BufMut, Bytes, BytesMut};

use super::{Sum, Sums, last_key};
use crate::{Batch, Db, Got, Key, Part, Read, Store, StoreError, Table};

/// First byte of the stored form.
const FORM: u8 = 1;
/// Bytes of the stored form before the key.
const FIXED_BYTES: usize = 1 + Table::ALL.len() * SUM_BYTES + 8 + 8 + 1;
const SUM_BYTES: usize = 8 + 8 + 32;

/// How far a copy has come. Stands in the target, in the same write as the rows before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Of the source when the copy began: the same source has the same.
    pub sums: Sums,
    /// Written so far, over all tables.
    pub rows: u64,
    pub bytes: u64,
    /// What comes next.
    pub table: Table,
    pub from: Option<Key>,
}

impl Place {
    pub fn at_the_beginning(sums: Sums) -> Self {
        Self { sums, rows: 0, bytes: 0, table: Table::ALL[0], from: None }
    }

    /// The row in [`Table::Meta`] that holds it.
    pub fn key() -> Key {
        Key::new(Part::slot(Batch::SLOT), Batch::COPY_TAG)
    }

    pub async fn read(store: &Db) -> Result<Option<Self>, StoreError> {
        let mut got = store.read(vec![Read::Get { t: Table::Meta, k: Self::key() }]).await?;
        let Some(Got::One(Some(found))) = got.pop() else { return Ok(None) };
        Self::from_bytes(&found)
            .map(Some)
            .ok_or_else(|| StoreError::Damaged("the place of an unfinished copy".into()))
    }

    /// Count rows as written.
    pub fn add(&mut self, rows: &[(Key, Bytes)]) {
        self.rows += rows.len() as u64;
        let bytes: usize = rows.iter().map(|(key, value)| key.as_bytes().len() + value.len()).sum();
        self.bytes += bytes as u64;
    }

    /// Move on in this table, or to the next one; false: there is none, all is written.
    pub fn go_on_at(&mut self, next: Option<Key>) -> bool {
        if next.is_none() {
            let Some(table) = Table::ALL.into_iter().find(|table| *table > self.table) else {
                self.from = Some(last_key());
                return false;
            };
            self.table = table;
        }
        self.from = next;
        true
    }

    pub fn to_bytes(&self) -> Bytes {
        let key = self.from.as_ref().map_or(&[][..], Key::as_bytes);
        let mut bytes = BytesMut::with_capacity(FIXED_BYTES + key.len());
        bytes.put_u8(FORM);
        for sum in &self.sums.0 {
            bytes.put_u64(sum.rows);
            bytes.put_u64(sum.bytes);
            bytes.put_slice(&sum.sha256);
        }
        bytes.put_u64(self.rows);
        bytes.put_u64(self.bytes);
        bytes.put_u8(self.table as u8);
        bytes.put_slice(key);
        bytes.freeze()
    }

    fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() < FIXED_BYTES || take::<1>(&mut bytes)? != [FORM] {
            return None;
        }
        let mut sums = Sums::default();
        for sum in &mut sums.0 {
            *sum = Sum {
                rows: u64::from_be_bytes(take(&mut bytes)?),
                bytes: u64::from_be_bytes(take(&mut bytes)?),
                sha256: take(&mut bytes)?,
            };
        }
        let rows = u64::from_be_bytes(take(&mut bytes)?);
        let written = u64::from_be_bytes(take(&mut bytes)?);
        let [table] = take(&mut bytes)?;
        let table = Table::ALL.into_iter().find(|known| *known as u8 == table)?;
        let from = (!bytes.is_empty()).then(|| Key::from_bytes(bytes.to_vec()));
        Some(Self { sums, rows, bytes: written, table, from })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}
