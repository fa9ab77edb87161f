use std::{sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout_at},
};
use tokio_postgres::{Client, Statement};

use super::{PgError, Site};
use crate::{StoreError, Table};

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Connections for reads, each used by one read at a time.
pub(super) struct Pool {
    site: Arc<Site>,
    permits: Semaphore,
    /// The one used last is at the end, and is taken first.
    idle: Mutex<Vec<Reader>>,
}

/// A connection with the statements of reads.
pub(super) struct Reader {
    pub client: Client,
    pub statements: Statements,
    generation: u64,
}

/// Prepared once for each connection.
pub(super) struct Statements {
    /// By table.
    pub gets: Vec<Statement>,
    /// By table, four each: see [`Statements::scan`].
    scans: Vec<Statement>,
    pub position: Statement,
}

/// Which statement a scan needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    pub rev: bool,
    /// Whether the answer may grow too large, so that the server has to count bytes.
    pub counted: bool,
}

impl Statements {
    async fn prepare(client: &Client) -> Result<Self, PgError> {
        let gets = Table::ALL.map(|t| format!("select k, v from {} where k = any($1)", t.name()));
        let scans = Table::ALL.into_iter().flat_map(|t| {
            [(false, false), (false, true), (true, false), (true, true)]
                .map(|(rev, counted)| scan_sql(t, Manner { rev, counted }))
        });
        let position = "select max(position) from lane".to_owned();
        // All at once: one round trip.
        let sql: Vec<String> = gets.into_iter().chain(scans).chain([position]).collect();
        let mut all = try_join_all(sql.iter().map(|sql| client.prepare(sql))).await?;
        let position = all.pop().ok_or_else(|| PgError::Other("no statement".into()))?;
        let scans = all.split_off(Table::ALL.len());
        Ok(Self { gets: all, scans, position })
    }

    pub fn scan(&self, t: Table, manner: Manner) -> &Statement {
        let at = usize::from(manner.rev) * 2 + usize::from(manner.counted);
        &self.scans[(t as usize - 1) * 4 + at]
    }
}

/// Several ranges in one statement: `n` is the number of the range, from 1. A counted scan ends
/// with a row without value after the row with which the answer reached `$4` bytes.
fn scan_sql(t: Table, manner: Manner) -> String {
    let order = if manner.rev { "k desc" } else { "k" };
    let range =
        format!("from {} where k >= r.lo and k < r.hi order by {order} limit r.rows", t.name());
    let ranges =
        "unnest($1::bytea[], $2::bytea[], $3::bigint[]) with ordinality r(lo, hi, rows, n)";
    if !manner.counted {
        return format!(
            "select r.n, s.k, s.v from {ranges} cross join lateral (select k, v {range}) s"
        );
    }
    // `sum` is up to and with a row: rows before it have sum - own bytes.
    format!(
        "select r.n, s.k, case when s.sum - s.own < $4::bigint then s.v end from {ranges} \
         cross join lateral (\
             select k, v, own, sum, coalesce(lag(sum - own) over w, 0) as before_last \
             from (select k, v, own, sum(own) over (order by {order} rows unbounded preceding) as sum \
                   from (select k, v, length(k) + length(v) as own {range}) a) b \
             window w as (order by {order})) s \
         where s.before_last < $4::bigint"
    )
}

/// A connection on loan.
pub(super) struct Loan<'a> {
    pool: &'a Pool,
    reader: Option<Reader>,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    pub fn new(site: Arc<Site>, connections: u16) -> Self {
        let permits = Semaphore::new(usize::from(connections.max(1)));
        Self { site, permits, idle: Mutex::default() }
    }

    /// A connection to the primary, or what is wrong when the deadline has passed.
    pub async fn reader(&self, deadline: Instant) -> Result<Loan<'_>, StoreError> {
        let permit = match timeout_at(deadline, self.permits.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(StoreError::Unavailable("the store is closed".into())),
            Err(_) => {
                let why = self.site.condition.ready().err();
                let why = why.unwrap_or_else(|| "all connections are busy".into());
                return Err(StoreError::Unavailable(why));
            }
        };
        let mut retry = RETRY_FIRST;
        loop {
            if let Some(reader) = self.take_idle() {
                return Ok(Loan { pool: self, reader: Some(reader), _permit: permit });
            }
            let error = match timeout_at(deadline, self.connect()).await {
                Ok(Ok(reader)) => {
                    return Ok(Loan { pool: self, reader: Some(reader), _permit: permit });
                }
                Ok(Err(error)) => error,
                Err(_) => PgError::Away("no connection in time".into()),
            };
            if !error.may_pass() || Instant::now() + retry >= deadline {
                return Err(error.into());
            }
            sleep(retry).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    /// Refuse reads from now on, and end the connections that nobody uses.
    pub fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }

    async fn connect(&self) -> Result<Reader, PgError> {
        let generation = self.site.condition.generation();
        let client = self.site.connect("read").await?;
        let statements = Statements::prepare(&client).await?;
        Ok(Reader { client, statements, generation })
    }

    fn take_idle(&self) -> Option<Reader> {
        let mut idle = self.idle.lock();
        while let Some(reader) = idle.pop() {
            if self.is_good(&reader) {
                return Some(reader);
            }
        }
        None
    }

    fn is_good(&self, reader: &Reader) -> bool {
        !reader.client.is_closed() && reader.generation == self.site.condition.generation()
    }
}

impl Loan<'_> {
    pub fn reader(&self) -> &Reader {
        self.reader.as_ref().expect("it is taken only in drop")
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        // A read is sent as a whole, so a connection is fit for use also if nobody waited for the
        // answer.
        if let Some(reader) = self.reader.take()
            && self.pool.is_good(&reader)
            && !self.pool.permits.is_closed()
        {
            self.pool.idle.lock().push(reader);
        }
    }
}
