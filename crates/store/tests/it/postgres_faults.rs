//! Connections that break at the worst moment, servers that die, databases that go and come back:
//! what was acknowledged is there, what is there is whole, and everybody gets an answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use blaupause_pgcluster::{Ending, PgCluster};
use blaupause_store::{
    Batch, CommitError, Health, Key, Op, Part, Pending, PgSettings, PgStore, Pre, Store, StreamPos,
    Table,
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::{
    load::{TASKS, batch, check_whole_but_for_holes, head},
    postgres::{has, open, put, settings},
    proxy::{Fault, Proxy},
};

/// The server's connections whose commit waits for a standby.
const WAITING_FOR_STANDBY: &str = "from pg_stat_activity \
     where application_name like 'blaupause %' and wait_event = 'SyncRep'";
/// How many batches are tried until the database knows that it needs a standby.
const TRIES_MAX: u64 = 1_000;

/// Moves a row from version `n` to `n + 1`: a batch that was committed and is tried again would be
/// in conflict.
fn step(n: u64) -> Batch {
    let k = Key::new(Part(1 << 40), b'h');
    Batch {
        pre: vec![Pre::Version { t: Table::Meta, k: k.clone(), is: n }],
        ops: vec![Op::Put { t: Table::Meta, k, v: Bytes::copy_from_slice(&(n + 1).to_be_bytes()) }],
        changes: vec![Bytes::copy_from_slice(&n.to_be_bytes())],
        ..Batch::default()
    }
}

async fn through_proxy(cluster: &PgCluster) -> (Proxy, PgStore) {
    let proxy = Proxy::start(cluster.port()).await;
    let database = cluster.new_database();
    let dsn = cluster.dsn(&database).replace(&cluster.port().to_string(), &proxy.port.to_string());
    let settings =
        PgSettings { dsn, outage_wait: Duration::from_secs(60), ..settings(cluster, &database) };
    let store = PgStore::open(settings).await.expect("store opens");
    (proxy, store)
}

#[tokio::test]
async fn lost_commit_is_written_again_and_lost_answer_is_found() {
    let Some(cluster) = PgCluster::start() else { return };
    let (proxy, store) = through_proxy(&cluster).await;
    let seen: Arc<Mutex<Vec<(StreamPos, Bytes)>>> = Arc::default();
    let log = seen.clone();
    let db = blaupause_store::Db::Pg(store.clone());
    db.on_commit(Arc::new(move |pos, lines| log.lock().push((pos, lines[0].clone()))));
    let mut n = 0;
    for round in 0..8 {
        proxy.arm(if round % 2 == 0 { Fault::LoseAnswer } else { Fault::LoseCommit });
        // Several, so that some wait behind the one whose outcome is not known.
        let pending: Vec<_> = (n..n + 5).map(|n| store.submit(step(n))).collect();
        for pending in pending {
            n += 1;
            assert_eq!(pending.await, Ok(StreamPos(n)), "round {round}");
        }
        assert_eq!(proxy.happened(), round + 1);
    }
    let expected: Vec<_> =
        (0..n).map(|n| (StreamPos(n + 1), Bytes::copy_from_slice(&n.to_be_bytes()))).collect();
    assert_eq!(*seen.lock(), expected, "the hook saw each batch once, in order");
    assert_eq!(store.health(), Health::Good);
}

/// PostgreSQL answers a commit whose wait for the standby is cancelled as a success.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_that_no_standby_has_is_not_acknowledged() {
    let Some(cluster) = PgCluster::start() else { return };
    let database = cluster.new_database();
    let store = open(&cluster, &database).await;
    assert_eq!(store.submit(step(0)).await, Ok(StreamPos(1)));
    cluster.psql(&database, "alter system set synchronous_standby_names = 'nobody'");
    cluster.psql(&database, "select pg_reload_conf()");
    let (mut pending, pos) = first_that_waits(&cluster, &database, &store).await;
    let cancel = format!("select count(pg_cancel_backend(pid)) {WAITING_FOR_STANDBY}");
    let mut cancelled = 0;
    while cancelled < 3 {
        cancelled += cluster.psql(&database, &cancel).trim().parse::<u32>().expect("a number");
        let answered = tokio::time::timeout(Duration::from_millis(50), &mut pending).await;
        assert!(answered.is_err(), "{answered:?} after {cancelled} cancelled waits");
    }
    cluster.psql(&database, "alter system reset synchronous_standby_names");
    cluster.psql(&database, "select pg_reload_conf()");
    assert_eq!(pending.await, Ok(pos), "found, not written again");
    assert_eq!(store.health(), Health::Good);
}

/// PostgreSQL learns of new settings some time after they were read: batches until one waits.
async fn first_that_waits(
    cluster: &PgCluster,
    database: &str,
    store: &PgStore,
) -> (Pending, StreamPos) {
    let waiting = format!("select count(*) {WAITING_FOR_STANDBY}");
    for n in 1..TRIES_MAX {
        let mut pending = store.submit(step(n));
        loop {
            if cluster.psql(database, &waiting).trim() != "0" {
                return (pending, StreamPos(n + 1));
            }
            let answered = tokio::time::timeout(Duration::from_millis(20), &mut pending).await;
            if let Ok(answered) = answered {
                assert_eq!(answered, Ok(StreamPos(n + 1)), "no standby was asked for yet");
                break;
            }
        }
    }
    panic!("the database never waited for a standby");
}

/// With many writers other groups are under way when a connection breaks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_under_load_lose_and_double_nothing() {
    let Some(cluster) = PgCluster::start() else { return };
    let (proxy, store) = through_proxy(&cluster).await;
    let last = Arc::new(AtomicU64::new(0));
    let order = last.clone();
    let db = blaupause_store::Db::Pg(store.clone());
    db.on_commit(Arc::new(move |pos, _| {
        assert!(order.swap(pos.0, Ordering::SeqCst) < pos.0, "the hook sees positions grow");
    }));
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (store, stop) = (store.clone(), stop.clone());
        tasks.spawn(async move {
            let mut n = 0;
            while !stop.load(Ordering::SeqCst) {
                n += 1;
                let pos = store.submit(batch(task, n)).await.expect("batch commits in the end");
                assert!(store.position() >= pos);
            }
            n
        });
    }
    for round in 0..12 {
        proxy.arm(if round % 2 == 0 { Fault::LoseAnswer } else { Fault::LoseCommit });
        while proxy.happened() <= round {
            assert!(!tasks.is_empty() && tasks.try_join_next().is_none(), "a writer gave up");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    let written: u64 = tasks.join_all().await.into_iter().sum();
    let found = check_whole_but_for_holes(&store).await;
    assert_eq!(found.len() as u64, written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_server_loses_nothing_acknowledged() {
    let Some(mut cluster) = PgCluster::builder().set("fsync", "on").start() else { return };
    let database = cluster.new_database();
    let patient =
        PgSettings { outage_wait: Duration::from_secs(60), ..settings(&cluster, &database) };
    let store = PgStore::open(patient).await.expect("store opens");
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (store, stop, acknowledged) = (store.clone(), stop.clone(), acknowledged.clone());
        tasks.spawn(async move {
            let (mut n, mut acks) = (0, Vec::new());
            while !stop.load(Ordering::SeqCst) {
                n += 1;
                let pos = store.submit(batch(task, n)).await.expect("batch commits in the end");
                acks.push((task, n, pos.0));
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            acks
        });
    }
    for _ in 0..4 {
        let before = acknowledged.load(Ordering::SeqCst);
        while acknowledged.load(Ordering::SeqCst) < before + 100 {
            assert!(!tasks.is_empty() && tasks.try_join_next().is_none(), "a writer gave up");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        cluster.stop(Ending::Kill);
        cluster.restart();
    }
    stop.store(true, Ordering::SeqCst);
    let acks = tasks.join_all().await;
    let found = check_whole_but_for_holes(&store).await;
    for (task, n, pos) in acks.into_iter().flatten() {
        assert_eq!(found.get(&(task, n)), Some(&pos), "lost task {task} batch {n}");
    }
    // The next server goes on behind it.
    let position = store.position();
    store.close().await;
    let store = open(&cluster, &database).await;
    assert_eq!(store.position(), position);
    let n = head(&store, 0).await + 1;
    assert_eq!(store.submit(batch(0, n)).await, Ok(StreamPos(position.0 + 1)));
}

#[tokio::test]
async fn while_the_database_is_away_everybody_is_answered_in_time() {
    let Some(mut cluster) = PgCluster::start() else { return };
    let database = cluster.new_database();
    let hasty =
        PgSettings { outage_wait: Duration::from_millis(300), ..settings(&cluster, &database) };
    let store = PgStore::open(hasty).await.expect("store opens");
    store.submit(put(1)).await.expect("batch commits");
    assert_eq!(store.health(), Health::Good);
    cluster.stop(Ending::Fast);
    let lost = store.submit(put(2)).await;
    assert!(matches!(lost, Err(CommitError::Unavailable(_))), "{lost:?}");
    assert!(matches!(store.health(), Health::Failed(_)));
    assert!(store.read(vec![]).await.is_ok(), "nothing to ask");
    let read = blaupause_store::Read::Get { t: Table::Usr, k: Key::new(Part(1), b'k') };
    assert!(store.read(vec![read]).await.is_err());
    cluster.restart();
    // It goes on by itself.
    while store.health() != Health::Good {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let pos = store.submit(put(3)).await.expect("batch commits");
    assert!(has(&store, 1).await && has(&store, 3).await);
    assert!(!has(&store, 2).await, "it was refused, and is not written later");
    assert_eq!(store.position(), pos);
}

#[tokio::test]
async fn closing_while_the_database_is_away_ends() {
    let Some(mut cluster) = PgCluster::start() else { return };
    let database = cluster.new_database();
    let hasty =
        PgSettings { outage_wait: Duration::from_millis(300), ..settings(&cluster, &database) };
    let store = PgStore::open(hasty).await.expect("store opens");
    cluster.stop(Ending::Kill);
    let pending = store.submit(put(1));
    store.close().await;
    assert!(matches!(pending.await, Err(CommitError::Unavailable(_))));
}

#[tokio::test]
async fn database_that_forgot_is_not_written_to() {
    let Some(cluster) = PgCluster::start() else { return };
    let database = cluster.new_database();
    let hasty =
        PgSettings { outage_wait: Duration::from_millis(300), ..settings(&cluster, &database) };
    let store = PgStore::open(hasty).await.expect("store opens");
    for n in 1..10 {
        store.submit(put(n)).await.expect("batch commits");
    }
    // A standby was promoted that had not got everything.
    cluster.psql(&database, "update blaupause.lane set position = least(position, 5)");
    cluster.psql(
        &database,
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'blaupause%'",
    );
    let lost = store.submit(put(20)).await;
    assert!(
        matches!(&lost, Err(CommitError::Unavailable(why)) if why.contains("lost batches")),
        "{lost:?}"
    );
    assert!(matches!(store.health(), Health::Failed(why) if why.contains("position 5")));
}
