//! One group of batches on its way into an open transaction.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use futures_util::future::{join, try_join_all};
use tokio_postgres::{Client, Error, Statement};

use super::{PgError, touched::Touched, warnings::Warnings};
use crate::{
    Batch, Key, LIMITS, Op, Pre, StoreError, StreamPos, Table,
    batch::version_of,
    committer::{Group, Job, Outcome, Overlay, Stored, Versions},
};

const BEGIN: &str = "begin isolation level read committed";

/// A connection for commits, with its statements.
pub(super) struct Writer {
    pub client: Client,
    warnings: Warnings,
    commit_group: Statement,
    /// By table.
    versions: Vec<Statement>,
    ranges: Vec<Statement>,
}

/// Where a group goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub lane: i16,
    pub epoch: i64,
    pub group_no: i64,
    /// The newest position given so far.
    pub last: StreamPos,
}

/// What became of a group's batches if its transaction commits.
pub(super) struct Decided {
    pub outcomes: Vec<Outcome>,
    pub newest: StreamPos,
    pub touched: Touched,
    /// Whether there is something to commit; otherwise the transaction has ended.
    pub open: bool,
}

impl Writer {
    pub async fn new(client: Client, warnings: Warnings) -> Result<Self, PgError> {
        let function = "select commit_group($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let versions = Table::ALL.map(|t| {
            format!("select k, substring(v from 1 for 8) from {} where k = any($1)", t.name())
        });
        let ranges = Table::ALL.map(|t| {
            format!(
                "select r.n, s.k from unnest($1::bytea[], $2::bytea[]) with ordinality r(lo, hi, n) \
                 cross join lateral \
                 (select k from {} where k >= r.lo and k < r.hi order by k limit $3) s",
                t.name()
            )
        });
        let sql: Vec<String> = versions.into_iter().chain(ranges).collect();
        let (commit_group, others) = futures_util::future::try_join(
            client.prepare(function),
            try_join_all(sql.iter().map(|sql| client.prepare(sql))),
        )
        .await?;
        let mut versions = others;
        let ranges = versions.split_off(Table::ALL.len());
        Ok(Self { client, warnings, commit_group, versions, ranges })
    }

    /// Decide about each batch and write what is to be written, in a transaction that is left open
    /// if there is something to commit.
    ///
    /// One round trip if the preconditions hold, as they nearly always do: it is decided as if they
    /// did, and the database checks that. Otherwise it is decided again from what is there.
    pub async fn write(&self, place: Place, jobs: &[Job]) -> Result<Decided, Error> {
        let ranges = Ranges::of(jobs);
        let begun = !ranges.is_empty();
        let found = if begun { self.begin_with(&ranges, jobs).await? } else { Found::default() };
        let wanted = Wanted::of(jobs);
        let (outcomes, rows, newest) = decide(jobs, &found, wanted.versions(), place.last);
        let (outcomes, rows, newest) = if self.send(begun, place, &wanted, &rows, newest).await? {
            (outcomes, rows, newest)
        } else {
            let versions = self.versions(&wanted).await?;
            let decided = decide(jobs, &found, versions, place.last);
            self.send(true, place, &Wanted::default(), &decided.1, decided.2).await?;
            decided
        };
        let open = newest > place.last;
        if !open {
            self.client.batch_execute("rollback").await?;
        }
        let touched = Touched::new(rows.into_keys().collect(), ranges.0);
        Ok(Decided { outcomes, newest, touched, open })
    }

    /// # Errors
    /// Then the outcome is unknown.
    pub async fn commit(&self) -> Result<(), PgError> {
        self.warnings.take();
        self.client.batch_execute("commit").await?;
        self.check_standby()
    }

    /// Whether what was just committed has certainly reached the standby.
    ///
    /// # Errors
    /// If somebody cancelled the wait for it.
    pub fn check_standby(&self) -> Result<(), PgError> {
        self.warnings.take().map_or(Ok(()), |warning| Err(PgError::Doubtful(warning)))
    }

    /// Open the transaction and look up the keys that ranges delete.
    async fn begin_with(&self, ranges: &Ranges, jobs: &[Job]) -> Result<Found, Error> {
        // Each row the group writes hides at most one stored row.
        let written: usize = jobs.iter().map(|job| job.batch.ops.len()).sum();
        let most = (LIMITS.range_rows_max + written + 1) as i64;
        let ask = Table::ALL.into_iter().map(|t| async move {
            let of_table: Vec<&Range> = ranges.0.iter().filter(|range| range.0 == t).collect();
            if of_table.is_empty() {
                return Ok((of_table, Vec::new()));
            }
            let lo: Vec<&[u8]> = of_table.iter().map(|range| range.1.as_bytes()).collect();
            let hi: Vec<&[u8]> = of_table.iter().map(|range| range.2.as_bytes()).collect();
            let statement = &self.ranges[t as usize - 1];
            let rows = self.client.query(statement, &[&lo, &hi, &most]).await?;
            Ok::<_, Error>((of_table, rows))
        });
        let (begun, asked) = join(self.client.batch_execute(BEGIN), try_join_all(ask)).await;
        begun?;
        let mut found = Found::default();
        for (of_table, rows) in asked? {
            for range in &of_table {
                found.0.insert((*range).clone(), Vec::new());
            }
            for row in rows {
                let (n, key): (i64, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
                let range = usize::try_from(n - 1).ok().and_then(|at| of_table.get(at));
                if let Some(keys) = range.and_then(|range| found.0.get_mut(*range)) {
                    keys.push(Key::from_bytes(Bytes::copy_from_slice(key)));
                }
            }
        }
        Ok(found)
    }

    /// Call the function, in a new transaction unless there is one.
    async fn send(
        &self,
        begun: bool,
        place: Place,
        wanted: &Wanted,
        rows: &Overlay,
        newest: StreamPos,
    ) -> Result<bool, Error> {
        let (chk_k, chk_to) = keys(wanted.0.keys());
        let chk_v = wanted.version_bytes();
        let puts = || rows.iter().filter_map(|(row, value)| Some((row, value.as_ref()?)));
        let dels = || rows.iter().filter(|(_, value)| value.is_none()).map(|(row, _)| row);
        let (put_k, put_to) = keys(puts().map(|(row, _)| row));
        let put_v: Vec<&[u8]> = puts().map(|(_, value)| &value[..]).collect();
        let (del_k, del_to) = keys(dels());
        let newest = i64::try_from(newest.0).unwrap_or(i64::MAX);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 12] = [
            &place.lane,
            &place.epoch,
            &place.group_no,
            &newest,
            &chk_k,
            &chk_v,
            &chk_to,
            &put_k,
            &put_v,
            &put_to,
            &del_k,
            &del_to,
        ];
        let called = self.client.query_one(&self.commit_group, &parameters);
        let row = if begun {
            called.await?
        } else {
            let (begun, called) = join(self.client.batch_execute(BEGIN), called).await;
            begun?;
            called?
        };
        row.try_get(0)
    }

    /// The versions that are there instead of those that were wanted.
    async fn versions(&self, wanted: &Wanted) -> Result<Versions, Error> {
        let mut versions: Versions = wanted.0.keys().map(|row| (row.clone(), None)).collect();
        let ask = Table::ALL.into_iter().map(|t| async move {
            let keys: Vec<&[u8]> =
                wanted.0.keys().filter(|(of, _)| *of == t).map(|(_, key)| key.as_bytes()).collect();
            if keys.is_empty() {
                return Ok((t, Vec::new()));
            }
            Ok((t, self.client.query(&self.versions[t as usize - 1], &[&keys]).await?))
        });
        for (t, rows) in try_join_all(ask).await? {
            for row in rows {
                let (key, version): (&[u8], &[u8]) = (row.try_get(0)?, row.try_get(1)?);
                let key = Key::from_bytes(Bytes::copy_from_slice(key));
                versions.insert((t, key), Some(version_of(version)));
            }
        }
        Ok(versions)
    }
}

/// What becomes of each batch if these are the stored versions; with the rows to write.
fn decide(
    jobs: &[Job],
    found: &Found,
    versions: Versions,
    last: StreamPos,
) -> (Vec<Outcome>, Overlay, StreamPos) {
    let mut group = Group::new(found, versions, last);
    let outcomes = jobs.iter().map(|job| group.add(&job.batch)).collect();
    let (mut rows, newest) = group.finish();
    // The lane keeps it: as a row, every group would wait for the one before it.
    rows.remove(&(Table::Meta, Batch::position_key(Batch::SLOT)));
    (outcomes, rows, newest)
}

/// Bounds of a deletion.
pub(super) type Range = (Table, Key, Key);

/// All that a group deletes.
struct Ranges(Vec<Range>);

impl Ranges {
    fn of(jobs: &[Job]) -> Self {
        let ops = jobs.iter().flat_map(|job| &job.batch.ops);
        let ranges = ops.filter_map(|op| match op {
            Op::DelRange { t, lo, hi } if lo < hi => Some((*t, lo.clone(), hi.clone())),
            _ => None,
        });
        Self(ranges.collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The stored keys of those ranges.
#[derive(Default)]
struct Found(HashMap<Range, Vec<Key>>);

impl Stored for Found {
    fn keys(&self, t: Table, lo: &Key, hi: &Key, limit: usize) -> Result<Vec<Key>, StoreError> {
        match self.0.get(&(t, lo.clone(), hi.clone())) {
            Some(keys) => Ok(keys.iter().take(limit).cloned().collect()),
            None => Err(StoreError::Damaged("a range was not looked up".into())),
        }
    }
}

/// What the preconditions of a group want of stored rows: for each row what the first of them
/// wants. The others are decided by that, or by what the group itself writes.
#[derive(Default)]
struct Wanted(BTreeMap<(Table, Key), Want>);

#[derive(Clone, Copy)]
enum Want {
    Absent,
    Version(u64),
}

impl Wanted {
    fn of(jobs: &[Job]) -> Self {
        let mut wanted = Self::default();
        for pre in jobs.iter().flat_map(|job| &job.batch.pre) {
            let (row, want) = match pre {
                Pre::Absent { t, k } => ((*t, k.clone()), Want::Absent),
                Pre::Version { t, k, is } => ((*t, k.clone()), Want::Version(*is)),
                Pre::Lease { .. } => continue,
            };
            let first = wanted.0.entry(row).or_insert(want);
            // Version 0 is also that of a row too short for one; absence is more.
            if let (Want::Version(0), Want::Absent) = (&first, want) {
                *first = want;
            }
        }
        wanted
    }

    fn versions(&self) -> Versions {
        let version = |want: &Want| match want {
            Want::Absent | Want::Version(0) => None,
            Want::Version(is) => Some(*is),
        };
        self.0.iter().map(|(row, want)| (row.clone(), version(want))).collect()
    }

    /// As the function takes them: no version means absent.
    fn version_bytes(&self) -> Vec<Option<Vec<u8>>> {
        let version = |want: &Want| match want {
            Want::Absent => None,
            Want::Version(is) => Some(is.to_be_bytes().to_vec()),
        };
        self.0.values().map(version).collect()
    }
}

/// The keys of rows that are ordered by table, and where each table begins and ends.
fn keys<'a>(rows: impl Iterator<Item = &'a (Table, Key)>) -> (Vec<&'a [u8]>, Vec<i32>) {
    let mut keys = Vec::new();
    let mut to = vec![0; Table::ALL.len() + 1];
    for (t, key) in rows {
        keys.push(key.as_bytes());
        to[*t as usize] = i32::try_from(keys.len()).unwrap_or(i32::MAX);
    }
    // A table without rows ends where the one before it does.
    for at in 1..to.len() {
        to[at] = to[at].max(to[at - 1]);
    }
    (keys, to)
}
