//! The engine of a site with a standby, or one that outgrew a machine: PostgreSQL as an ordered
//! store of bytes. Replication and failover are PostgreSQL's.
//!
//! Only this file and `postgres/` may name the `tokio_postgres` crate. Start reading at [`PgStore`];
//! `pilot` commits, `read` reads, `lease` keeps other servers out; docs/decisions/0009 says why it
//! is done this way.

mod condition;
mod connect;
mod error;

mod lease;
mod pilot;
mod pool;
mod read;
mod schema;
mod settings;
mod task;
mod touched;
mod warnings;
mod write;

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::try_join_all;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_postgres::Client;

use self::{
    condition::{Condition, Whose},
    connect::Connector,
    pilot::Pilot,
    pool::Pool,
    warnings::Warnings,
    write::Writer,
};
use crate::{
    Batch, Chunk, CommitHook, Got, Health, Key, Pending, Read, Row, Store, StoreError, StreamPos,
    Table,
    committer::{Intake, refuse},
};
pub use error::PgError;
pub use settings::{ClientCertificate, PgSettings};

/// Between two looks at batches that have waited too long while the database is away.
const EXPIRE_EVERY: Duration = Duration::from_millis(500);
/// Between two attempts to read.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Rows of one statement of an import.
const IMPORT_ROWS: usize = 1_000;

/// The PostgreSQL engine. Cheap to clone. Made and used within one tokio runtime.
#[derive(Clone)]
pub struct PgStore(Arc<Inner>);

struct Inner {
    site: Arc<Site>,
    pool: Pool,
    /// The committer and the keeper of the lease; taken by whoever closes.
    tasks: tokio::sync::Mutex<Option<(JoinHandle<()>, JoinHandle<()>)>>,
    stop: watch::Sender<bool>,
}

/// What the parts of the engine share.
struct Site {
    connector: Connector,
    settings: PgSettings,
    /// Of our lease; every commit checks it.
    epoch: i64,
    intake: Arc<Intake>,
    condition: Condition,
}

/// What the engine did since it was opened; all numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PgStats {
    /// Groups committed, each one transaction.
    pub groups: u64,
    /// Batches committed in those groups.
    pub batches: u64,
    /// Bytes of the batches in those groups.
    pub bytes: u64,
    /// Time spent waiting for those commits; groups overlap.
    pub commit_micros: u64,
}

impl PgStore {
    /// Connect, take the lease, make the schema if there is none. Waits for a database that is
    /// away, and logs that it does.
    ///
    /// # Errors
    /// [`PgError`], for everything that waiting cannot mend.
    pub async fn open(settings: PgSettings) -> Result<Self, PgError> {
        let connector = Connector::new(&settings)?;
        let target = connector.target();
        if connector.is_open_to_eavesdroppers() {
            tracing::warn!(%target, "{}", settings::EAVESDROPPERS);
        }
        let lanes = settings.commit_connections.max(1);
        let lease =
            lease::take(&connector, lanes, settings.lease_wait, settings.start_wait).await?;
        let intake = Arc::new(Intake::new(lease.position));
        let readers = settings.read_connections;
        let site = Arc::new(Site {
            connector,
            settings,
            epoch: lease.epoch,
            intake,
            condition: Condition::default(),
        });
        let writers = try_join_all((0..lanes).map(|_| site.writer())).await?;
        let (stop, stopped) = watch::channel(false);
        let pilot = task::spawn(Pilot::new(site.clone(), writers, lease.position).run());
        let keeper = task::spawn(lease::keep(site.clone(), lease.session, stopped));
        tracing::info!(%target, position = lease.position.0, epoch = lease.epoch, "database opened");
        let tasks = tokio::sync::Mutex::new(Some((pilot, keeper)));
        let pool = Pool::new(site.clone(), readers);
        Ok(Self(Arc::new(Inner { site, pool, tasks, stop })))
    }

    /// Counters for metrics.
    pub fn stats(&self) -> PgStats {
        let counters = &self.0.site.intake.counters;
        PgStats {
            groups: counters.groups.load(Ordering::Relaxed),
            batches: counters.batches.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            commit_micros: counters.write_micros.load(Ordering::Relaxed),
        }
    }

    /// Whether reads and batches can be expected to work.
    pub fn health(&self) -> Health {
        let site = &self.0.site;
        match site.intake.queue.ready().and_then(|()| site.condition.ready()) {
            Ok(()) => Health::Good,
            Err(why) => Health::Failed(why),
        }
    }

    /// Resolves when the store will never take writes again without having been closed, because
    /// another server has taken over.
    pub async fn failed(&self) {
        self.0.site.intake.queue.failed().await;
    }

    /// Stop accepting batches, commit the queued ones, let go of the lease. Later calls fail with
    /// `Unavailable`. If the database is away, batches are given up after the outage wait.
    pub async fn close(&self) {
        let inner = &self.0;
        inner.site.intake.queue.close();
        // Others that close wait here until it is done.
        let mut tasks = inner.tasks.lock().await;
        let Some((pilot, keeper)) = tasks.take() else { return };
        if pilot.await.is_err() {
            tracing::error!("the committer had panicked");
        }
        inner.pool.close();
        inner.stop.send_replace(true);
        if keeper.await.is_err() {
            tracing::error!("the keeper of the lease had panicked");
        }
        tracing::info!(target = %inner.site.connector.target(), "database closed");
    }

    pub(crate) fn on_commit(&self, hook: CommitHook) {
        self.0.site.intake.on_commit(hook);
    }

    /// See [`crate::Db::import`].
    pub(crate) async fn import(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        let client = self.0.site.connect("import").await?;
        import(&client, &rows).await.map_err(|error| PgError::from(error).into())
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.0.site.settings.outage_wait
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The committer finishes what is queued, by itself.
        self.site.intake.queue.close();
    }
}

impl Store for PgStore {
    async fn read(&self, reads: Vec<Read>) -> Result<Vec<Got>, StoreError> {
        if reads.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = self.deadline();
        loop {
            let loan = self.0.pool.reader(deadline).await?;
            let error = match read::answer(loan.reader(), &reads).await {
                Ok(got) => return Ok(got),
                Err(error) => PgError::from(error),
            };
            // A read may be repeated at will.
            if !error.may_pass() || Instant::now() >= deadline {
                return Err(error.into());
            }
            drop(loan);
            sleep(READ_AGAIN_AFTER).await;
        }
    }

    fn submit(&self, batch: Batch) -> Pending {
        self.0.site.intake.submit(batch)
    }

    fn position(&self) -> StreamPos {
        self.0.site.intake.position()
    }

    async fn export(&self, t: Table, from: Option<Key>, chunk: u32) -> Result<Chunk, StoreError> {
        let loan = self.0.pool.reader(self.deadline()).await?;
        let exported = read::export(&loan.reader().client, t, from.as_ref(), chunk).await;
        exported.map_err(|error| PgError::from(error).into())
    }
}

impl Site {
    /// A connection to a database that has everything we acknowledged.
    async fn connect(&self, role: &str) -> Result<Client, PgError> {
        Ok(self.connect_watched(role).await?.0)
    }

    /// The same, with what the server warns of.
    async fn connect_watched(&self, role: &str) -> Result<(Client, Warnings), PgError> {
        let (client, warnings) = self.connector.connect(role).await?;
        let row = client.query_one("select max(position) from lane", &[]).await?;
        self.check_not_behind(lease::position(row.get(0)))?;
        Ok((client, warnings))
    }

    async fn writer(&self) -> Result<Writer, PgError> {
        let (client, warnings) = self.connect_watched("commit").await?;
        Writer::new(client, warnings).await
    }

    fn check_not_behind(&self, found: u64) -> Result<(), PgError> {
        let known = self.intake.position().0;
        if found < known { Err(PgError::Behind { found, known }) } else { Ok(()) }
    }

    /// Answer the batches that have waited too long.
    fn expire(&self, why: &str) {
        let Some(before) = Instant::now().checked_sub(self.settings.outage_wait) else { return };
        let old = self.intake.queue.take_older(before);
        if !old.is_empty() {
            self.condition.down(Whose::Commits, why.to_owned());
            refuse(old, &StoreError::Unavailable(why.to_owned()));
        }
    }

    /// Do something that may take long, while batches expire.
    async fn expiring<T>(&self, why: &str, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep(EXPIRE_EVERY) => self.expire(why),
            }
        }
    }
}

/// All rows in one transaction; the position goes where the committer keeps it.
async fn import(client: &Client, rows: &[Row]) -> Result<(), tokio_postgres::Error> {
    let position_key = Batch::position_key(Batch::SLOT);
    client.batch_execute("begin").await?;
    for t in Table::ALL {
        let of_table: Vec<_> = rows
            .iter()
            .filter(|(of, k, _)| *of == t && !(t == Table::Meta && *k == position_key))
            .collect();
        for rows in of_table.chunks(IMPORT_ROWS) {
            let puts = || rows.iter().filter_map(|(_, k, v)| Some((k.as_bytes(), v.as_deref()?)));
            let (keys, values): (Vec<&[u8]>, Vec<&[u8]>) = puts().unzip();
            let gone: Vec<&[u8]> =
                rows.iter().filter(|(_, _, v)| v.is_none()).map(|(_, k, _)| k.as_bytes()).collect();
            let name = t.name();
            let put = format!(
                "insert into {name} select * from unnest($1::bytea[], $2::bytea[]) \
                 on conflict (k) do update set v = excluded.v"
            );
            client.execute(&put, &[&keys, &values]).await?;
            client.execute(&format!("delete from {name} where k = any($1)"), &[&gone]).await?;
        }
    }
    let positions = rows.iter().filter(|(t, k, _)| *t == Table::Meta && *k == position_key);
    for (_, _, value) in positions {
        let position = value.as_deref().map_or(0, crate::batch::version_of);
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        client.execute("update lane set position = $1", &[&position]).await?;
    }
    client.batch_execute("commit").await
}
