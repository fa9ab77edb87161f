//! One server at a time: a lock of a session, and an epoch that every commit checks.
//!
//! The lock tells a second server at once that it is not alone. The epoch is what keeps data
//! right: whoever takes over raises it in every lane, which waits for transactions under way; a
//! server that was cut off, paused or failed over finds its commits refused.

use std::{fs, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_postgres::Client;

use super::{
    PgError, Site,
    condition::{Condition, Whose},
    connect::Connector,
    schema,
};
use crate::StreamPos;

/// Of the advisory lock: "blaupaus".
const LOCK: i64 = 0x626c_6175_7061_7573;
/// Between two looks at the lease, and how long one may take.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const LOOK_WAIT: Duration = Duration::from_secs(5);
/// Between two attempts to connect or to get the lock.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The right to write, for as long as the epoch is ours.
pub(super) struct Lease {
    pub epoch: i64,
    /// The newest position that any server ever gave.
    pub position: StreamPos,
    /// Holds the lock.
    pub session: Client,
}

/// Connect, wait for the lock, see to the schema, raise the epoch.
pub(super) async fn take(
    connector: &Connector,
    lanes: u16,
    lease_wait: Duration,
    start_wait: Option<Duration>,
) -> Result<Lease, PgError> {
    let session = first_connection(connector, start_wait).await?;
    wait_for_lock(&session, lease_wait).await?;
    schema::ensure(&session).await?;
    let (epoch, position) = take_over(&session, lanes).await?;
    Ok(Lease { epoch, position, session })
}

/// A database that is away at the start may come; one that refuses us will not change its mind.
async fn first_connection(
    connector: &Connector,
    wait: Option<Duration>,
) -> Result<Client, PgError> {
    let started = Instant::now();
    let condition = Condition::default(); // only for its log lines
    let mut retry = RETRY_FIRST;
    loop {
        match connector.connect("lease").await {
            Err(error) if error.may_pass() && wait.is_none_or(|wait| started.elapsed() < wait) => {
                let target = connector.target();
                condition.down(Whose::Lease, format!("waiting for the database {target}: {error}"));
                sleep(retry).await;
                retry = (retry * 2).min(RETRY_MAX);
            }
            Ok((session, _)) => {
                condition.up(Whose::Lease);
                return Ok(session);
            }
            Err(error) => return Err(error),
        }
    }
}

async fn wait_for_lock(session: &Client, wait: Duration) -> Result<(), PgError> {
    let started = Instant::now();
    while !try_lock(session).await? {
        if started.elapsed() >= wait {
            return Err(owner(session).await);
        }
        tracing::warn!("another server uses the database; waiting for it to let go");
        sleep(RETRY_MAX.min(wait)).await;
    }
    Ok(())
}

async fn try_lock(session: &Client) -> Result<bool, PgError> {
    let row = session.query_one("select pg_try_advisory_lock($1)", &[&LOCK]).await?;
    Ok(row.get(0))
}

/// Who holds the lock; asked only for the message.
async fn owner(session: &Client) -> PgError {
    let ask = "select owner, to_char(since at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC' \
               from blaupause.site";
    let row = session.query_opt(ask, &[]).await.ok().flatten();
    let (owner, since) = row.map_or_else(
        || ("unknown".to_owned(), "just now".to_owned()),
        |row| (row.get(0), row.get(1)),
    );
    PgError::InUse { owner, since }
}

/// Raise the epoch in every lane; waits for the transactions of the server before.
async fn take_over(session: &Client, lanes: u16) -> Result<(i64, StreamPos), PgError> {
    let ours = format!("{} (process {})", host_name(), std::process::id());
    let lanes = i32::from(lanes);
    // One statement with everything in it would not see its own lanes.
    session.batch_execute("begin").await?;
    let done = async {
        session
            .execute(
                "insert into lane (n, epoch, group_no, position) \
                 select n, 0, 0, 0 from generate_series(0, $1 - 1) n on conflict do nothing",
                &[&lanes],
            )
            .await?;
        let row = session
            .query_one(
                "update site set epoch = epoch + 1, since = now(), \
                 owner = $1 || coalesce(' from ' || host(inet_client_addr()), '') returning epoch",
                &[&ours],
            )
            .await?;
        let epoch: i64 = row.get(0);
        session.execute("update lane set epoch = $1, group_no = 0", &[&epoch]).await?;
        let row = session.query_one("select max(position) from lane", &[]).await?;
        session.batch_execute("commit").await?;
        Ok::<_, PgError>((epoch, StreamPos(position(row.get(0)))))
    }
    .await;
    if done.is_err() {
        let _ = session.batch_execute("rollback").await;
    }
    done
}

/// Positions are unsigned everywhere else, and never reach the sign.
pub(super) fn position(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown host".into(), |name| name.trim().to_owned())
}

/// Watch over the lease until told to stop; then let go of the lock.
pub(super) async fn keep(site: Arc<Site>, session: Client, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = watch_over(&site, session) => {}
        // Also when the sender is gone.
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Ends only when another server has taken over.
async fn watch_over(site: &Site, first: Client) {
    let mut session = Some(first);
    let mut retry = RETRY_FIRST;
    loop {
        match timeout(LOOK_WAIT, look(site, &mut session)).await {
            Ok(Ok(())) => {
                site.condition.up(Whose::Lease);
                retry = RETRY_FIRST;
                sleep(LOOK_EVERY).await;
                continue;
            }
            Ok(Err(error @ PgError::Fenced { .. })) => {
                tracing::error!(%error, "this server must not write any more");
                site.condition.down(Whose::Lease, error.to_string());
                site.intake.queue.fail(&error.to_string());
                return;
            }
            Ok(Err(error)) => {
                session = None;
                site.condition.down(Whose::Lease, error.to_string());
            }
            Err(_) => {
                session = None;
                let error = PgError::Away("no answer in time".into());
                site.condition.down(Whose::Lease, error.to_string());
            }
        }
        sleep(retry).await;
        retry = (retry * 2).min(RETRY_MAX);
    }
}

/// Is the epoch still ours? A new session first takes the lock again; that may have to wait for
/// the server to notice that the old one is gone.
async fn look(site: &Site, session: &mut Option<Client>) -> Result<(), PgError> {
    let (client, is_new) = match session.take() {
        Some(client) => (client, false),
        None => (site.connect("lease").await?, true),
    };
    let row = client.query_one("select epoch, owner from site", &[]).await?;
    if row.get::<_, i64>(0) != site.epoch {
        return Err(PgError::Fenced { owner: row.get(1) });
    }
    if is_new && !try_lock(&client).await? {
        return Err(PgError::Away("the lock of our old session is still held".into()));
    }
    *session = Some(client);
    Ok(())
}
