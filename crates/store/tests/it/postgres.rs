//! What only an engine on another machine can get wrong: who may use it, and how it is reached.

use std::{path::Path, time::Duration};

use blaupause_pgcluster::PgCluster;
use blaupause_store::{
    Batch, ClientCertificate, CommitError, Got, Health, Key, Op, Part, PgError, PgSettings,
    PgStore, Pre, Read, Store, StreamPos, Table,
};
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::proxy::{Proxy, has_commit};

/// Waits as short as a test wants them.
pub fn settings(cluster: &PgCluster, database: &str) -> PgSettings {
    let mut settings = PgSettings::new(cluster.dsn(database));
    settings.lease_wait = Duration::ZERO;
    settings.start_wait = Some(Duration::ZERO);
    settings
}

pub async fn open(cluster: &PgCluster, database: &str) -> PgStore {
    PgStore::open(settings(cluster, database)).await.expect("store opens")
}

async fn error(settings: PgSettings) -> PgError {
    match PgStore::open(settings).await {
        Ok(_) => panic!("the store must not open"),
        Err(error) => error,
    }
}

fn key(n: u64) -> Key {
    Key::new(Part(n << 40), b'k')
}

pub fn put(n: u64) -> Batch {
    let ops = vec![Op::Put { t: Table::Usr, k: key(n), v: Bytes::from(n.to_string()) }];
    Batch { ops, changes: vec![Bytes::from_static(b"c")], ..Batch::default() }
}

pub async fn has(store: &PgStore, n: u64) -> bool {
    let got = store.read(vec![Read::Get { t: Table::Usr, k: key(n) }]).await.expect("read works");
    matches!(&got[..], [Got::One(Some(v))] if *v == n.to_string())
}

#[tokio::test]
async fn reopening_keeps_rows_and_position() {
    let Some(mut cluster) = PgCluster::start() else { return };
    let database = cluster.new_database();
    for round in 0..4 {
        let store = open(&cluster, &database).await;
        assert_eq!(store.position(), StreamPos(round * 2));
        for n in 0..round {
            assert!(has(&store, n).await);
        }
        assert_eq!(store.submit(put(round)).await, Ok(StreamPos(round * 2 + 1)));
        // Not waited for: closing commits it.
        let pending = store.submit(put(100 + round));
        store.close().await;
        assert!(pending.await.is_ok());
        assert!(matches!(store.submit(put(1)).await, Err(CommitError::Unavailable(_))));
        assert!(store.read(vec![Read::Get { t: Table::Usr, k: key(1) }]).await.is_err());
        store.close().await;
        if round == 2 {
            cluster.restart();
        }
    }
}

#[tokio::test]
async fn dropped_store_commits_what_waits_and_lets_go() {
    let Some(cluster) = PgCluster::start() else { return };
    let database = cluster.new_database();
    let store = open(&cluster, &database).await;
    let pending: Vec<_> = (0..50).map(|n| store.submit(put(n))).collect();
    drop(store);
    for pending in pending {
        pending.await.expect("batch commits");
    }
    let mut patient = settings(&cluster, &database);
    patient.lease_wait = Duration::from_secs(20);
    let store = PgStore::open(patient).await.expect("the lease is free again");
    assert_eq!(store.position(), StreamPos(50));
}

#[tokio::test]
async fn second_server_is_refused_and_told_who_is_first() {
    let Some(cluster) = PgCluster::start() else { return };
    let database = cluster.new_database();
    let first = open(&cluster, &database).await;
    let refused = error(settings(&cluster, &database)).await;
    assert!(matches!(refused, PgError::InUse { .. }), "{refused:?}");
    let why = refused.to_string();
    assert!(
        why.contains(&format!("process {}", std::process::id())) && why.contains("UTC"),
        "{why}"
    );
    assert_eq!(first.submit(put(1)).await, Ok(StreamPos(1)), "the first goes on");
    // Another database of the same cluster is another site.
    open(&cluster, &cluster.new_database()).await;
    first.close().await;
    assert!(has(&open(&cluster, &database).await, 1).await);
}

#[tokio::test]
async fn server_that_was_replaced_writes_nothing_any_more() {
    let Some(cluster) = PgCluster::start() else { return };
    let database = cluster.new_database();
    let old = open(&cluster, &database).await;
    old.submit(put(1)).await.expect("batch commits");
    // As a server does that finds the lock free, because our session was cut off.
    cluster.psql(&database, "update blaupause.site set epoch = epoch + 1, owner = 'the new one'");
    cluster.psql(&database, "update blaupause.lane set epoch = epoch + 1, group_no = 0");
    let refused = old.submit(put(2)).await;
    assert_eq!(refused, Err(CommitError::Fenced));
    let later = old.submit(put(3)).await;
    assert!(
        matches!(&later, Err(CommitError::Unavailable(why)) if why.contains("taken over")),
        "{later:?}"
    );
    assert!(matches!(old.health(), Health::Failed(_)));
    old.failed().await;
    assert_eq!(cluster.psql(&database, "select count(*) from blaupause.usr"), "1");
}

#[tokio::test]
async fn each_way_to_be_refused_has_its_own_error() {
    let hba = "local all all trust\nhost all trusted 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let Some(cluster) = PgCluster::builder().hba(hba).start() else { return };
    let database = cluster.new_database();
    cluster.psql("postgres", "create role trusted login");
    cluster.psql("postgres", "create role site login password 'right'");
    cluster.psql("postgres", &format!("grant create on database {database} to site"));
    let folder = tempfile::tempdir().expect("temporary folder");
    let with = |user: &str, database: &str, password: Option<&str>| {
        let dsn = cluster.dsn(database).replace("user=postgres", &format!("user={user}"));
        let mut settings = PgSettings { dsn, ..settings(&cluster, database) };
        settings.password_file = password.map(|password| {
            let file = folder.path().join(password);
            std::fs::write(&file, format!("{password}\n")).expect("file can be written");
            file
        });
        settings
    };
    let refused = error(with("site", &database, Some("wrong"))).await;
    assert!(matches!(refused, PgError::Credentials(_)), "{refused:?}");
    let refused = error(with("nobody", &database, Some("right"))).await;
    assert!(matches!(refused, PgError::Credentials(_)), "{refused:?}");
    let refused = error(with("site", "nowhere", Some("right"))).await;
    assert!(matches!(refused, PgError::NoDatabase(_)), "{refused:?}");
    let refused = error(with("trusted", &database, None)).await;
    assert!(matches!(refused, PgError::Rights(_)), "{refused:?}");
    let missing =
        PgSettings { password_file: Some("/nowhere".into()), ..with("site", &database, None) };
    let refused = error(missing).await;
    assert!(
        matches!(&refused, PgError::Settings { key: "password_file", why } if why.contains("/nowhere")),
        "{refused:?}"
    );
    let refused = error(PgSettings::new("host=a password=secret")).await;
    assert!(
        matches!(&refused, PgError::Settings { key: "dsn", why } if !why.contains("secret")),
        "{refused:?}"
    );
    let refused = error(PgSettings::new("hots=a")).await;
    assert!(matches!(refused, PgError::Settings { .. }), "{refused:?}");
    // An ordinary user with the right to make a schema is all that is needed.
    let store = PgStore::open(with("site", &database, Some("right"))).await.expect("store opens");
    assert_eq!(store.submit(put(1)).await, Ok(StreamPos(1)));
}

#[tokio::test]
async fn schema_that_is_not_ours_is_refused_and_left_alone() {
    let Some(cluster) = PgCluster::start() else { return };
    let database = cluster.new_database();
    open(&cluster, &database).await.close().await;
    cluster.psql(&database, "update blaupause.site set schema = 7");
    let refused = error(settings(&cluster, &database)).await;
    assert!(matches!(refused, PgError::Schema { found: 7, wanted: 1 }), "{refused:?}");
    assert_eq!(cluster.psql(&database, "select epoch from blaupause.site"), "1");
    let database = cluster.new_database();
    cluster.psql(&database, "create schema blaupause");
    let refused = error(settings(&cluster, &database)).await;
    assert!(matches!(refused, PgError::Foreign), "{refused:?}");
}

#[tokio::test]
async fn read_only_database_is_waited_for_and_named() {
    let Some(cluster) = PgCluster::start() else { return };
    let database = cluster.new_database();
    let read_only = |on: &str| {
        let sql = format!("alter database {database} set default_transaction_read_only = {on}");
        cluster.psql("postgres", &sql);
    };
    read_only("on");
    let refused = error(settings(&cluster, &database)).await;
    assert!(matches!(refused, PgError::ReadOnly), "{refused:?}");
    // The same with several hosts, where the driver looks for one that takes writes.
    let port = cluster.port();
    let dsn = format!("host=127.0.0.1,127.0.0.1 port={port} user=postgres dbname={database}");
    let several = PgSettings { dsn, ..settings(&cluster, &database) };
    let refused = error(several.clone()).await;
    assert!(matches!(refused, PgError::ReadOnly), "{refused:?}");
    let waiting = tokio::spawn(PgStore::open(PgSettings { start_wait: None, ..several }));
    read_only("off");
    let store = waiting.await.expect("no panic").expect("store opens when it is promoted");
    assert_eq!(store.submit(put(1)).await, Ok(StreamPos(1)));
}

#[tokio::test]
async fn standby_is_read_only() {
    let Some(mut cluster) = PgCluster::start() else { return };
    let database = cluster.new_database();
    // A primary that starts in recovery and stays there is a standby.
    cluster.stop(blaupause_pgcluster::Ending::Fast);
    let signal = cluster.data_folder().join("standby.signal");
    std::fs::write(&signal, "").expect("file can be written");
    cluster.restart();
    let refused = error(settings(&cluster, &database)).await;
    assert!(matches!(refused, PgError::ReadOnly), "{refused:?}");
}

#[tokio::test]
async fn database_that_is_away_at_the_start_is_waited_for() {
    let Some(mut cluster) = PgCluster::start() else { return };
    let database = cluster.new_database();
    cluster.stop(blaupause_pgcluster::Ending::Fast);
    let refused = error(settings(&cluster, &database)).await;
    assert!(matches!(refused, PgError::Away(_)), "{refused:?}");
    let waiting = PgSettings { start_wait: None, ..settings(&cluster, &database) };
    let waiting = tokio::spawn(PgStore::open(waiting));
    tokio::task::yield_now().await;
    cluster.restart();
    let store = waiting.await.expect("no panic").expect("store opens");
    assert_eq!(store.submit(put(1)).await, Ok(StreamPos(1)));
}

#[tokio::test]
async fn a_read_is_one_round_trip() {
    let Some(cluster) = PgCluster::start() else { return };
    let proxy = Proxy::start(cluster.port()).await;
    let database = cluster.new_database();
    let dsn = cluster.dsn(&database).replace(&cluster.port().to_string(), &proxy.port.to_string());
    let store =
        PgStore::open(PgSettings { dsn, ..settings(&cluster, &database) }).await.expect("opens");
    store.submit(put(1)).await.expect("batch commits");
    let (lo, hi) = (key(0), key(9));
    let mut reads = Vec::new();
    for t in Table::ALL {
        reads.push(Read::Get { t, k: key(1) });
        for (rev, limit) in [(false, 1), (true, 1_000)] {
            reads.push(Read::Scan { t, lo: lo.clone(), hi: hi.clone(), rev, limit });
        }
    }
    assert!(has(&store, 1).await, "a connection is open");
    proxy.hold();
    let reading = store.clone();
    let reading = tokio::spawn(async move { reading.read(reads).await });
    // Not a single answer has come back: everything must be on its way all the same.
    let sent_whole = || has_commit(&proxy.sent());
    while !sent_whole() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!reading.is_finished());
    proxy.release();
    let got = reading.await.expect("no panic").expect("read works");
    assert_eq!(got.len(), 24);
}

#[tokio::test]
async fn waiting_batches_share_a_transaction() {
    let Some(cluster) = PgCluster::start() else { return };
    let store = open(&cluster, &cluster.new_database()).await;
    let pending: Vec<_> = (1..=1_000).map(|n| store.submit(put(n))).collect();
    for pending in pending {
        pending.await.expect("batch commits");
    }
    let stats = store.stats();
    assert_eq!(stats.batches, 1_000);
    assert!(stats.groups < 100, "{stats:?}");
    assert!(stats.bytes > 10_000 && stats.commit_micros > 0, "{stats:?}");
}

/// A certificate authority and what it signed, as files.
struct Pki {
    folder: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("key");
        let ca = CertifiedIssuer::self_signed(params, key).expect("certificate");
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("ca"), ca.pem()).expect("file can be written");
        Self { folder, ca }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Certificate and key of a host or a user.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("name");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.ca).expect("certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("file can be written");
}

#[tokio::test]
async fn connections_are_encrypted_and_both_sides_prove_who_they_are() {
    let (ours, others) = (Pki::new(), Pki::new());
    let (certificate, key) = ours.sign("localhost");
    let cluster = PgCluster::builder()
        .hba("local all all trust\nhostssl all all 127.0.0.1/32 cert\nhostssl all all ::1/128 cert\n")
        .file("server.crt", certificate)
        .file("server.key", key)
        .file("root.crt", ours.ca.pem())
        .set("ssl", "on")
        .set("ssl_ca_file", "root.crt")
        .start();
    let Some(cluster) = cluster else { return };
    let database = cluster.new_database();
    let (chain, key) = ours.sign("postgres");
    write(&ours.path("chain"), &chain);
    write(&ours.path("key"), &key);
    let mut good = settings(&cluster, &database);
    good.dsn = good.dsn.replace("127.0.0.1", "localhost");
    good.ca_file = Some(ours.path("ca"));
    let certificate =
        ClientCertificate { chain_file: ours.path("chain"), key_file: ours.path("key") };
    good.client_certificate = Some(certificate);
    let store = PgStore::open(good.clone()).await.expect("store opens");
    assert_eq!(store.submit(put(1)).await, Ok(StreamPos(1)));
    let encrypted = "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) \
                     where application_name like 'blaupause%'";
    assert_eq!(cluster.psql(&database, encrypted), "t");
    store.close().await;

    let strangers = PgSettings { ca_file: Some(others.path("ca")), ..good.clone() };
    let refused = error(strangers).await;
    assert!(matches!(refused, PgError::Tls(_)), "{refused:?}");
    // The server's certificate is for another name.
    let renamed = PgSettings { dsn: good.dsn.replace("localhost", "127.0.0.1"), ..good.clone() };
    let refused = error(renamed).await;
    assert!(matches!(refused, PgError::Tls(_)), "{refused:?}");
    let anonymous = PgSettings { client_certificate: None, ..good.clone() };
    let refused = error(anonymous).await;
    assert!(matches!(refused, PgError::Credentials(_)), "{refused:?}");
    let plain = PgSettings { ca_file: None, client_certificate: None, ..good.clone() };
    let refused = error(plain).await;
    assert!(matches!(refused, PgError::Credentials(_)), "{refused:?}");
    let half = PgSettings { ca_file: None, ..good };
    let refused = error(half).await;
    assert!(matches!(refused, PgError::Settings { .. }), "{refused:?}");
}

#[tokio::test]
async fn queued_batches_see_each_other_over_several_connections() {
    let Some(cluster) = PgCluster::start() else { return };
    let store = open(&cluster, &cluster.new_database()).await;
    let head = |room: u64| Key::new(Part(room << 40), b'h');
    let step = |room: u64, n: u64| Batch {
        pre: vec![Pre::Version { t: Table::Meta, k: head(room), is: n }],
        ops: vec![Op::Put {
            t: Table::Meta,
            k: head(room),
            v: Bytes::copy_from_slice(&(n + 1).to_be_bytes()),
        }],
        changes: vec![Bytes::from_static(b"c")],
        ..Batch::default()
    };
    // Chains of many rooms, interleaved, with pauses so that groups are small and overlap.
    let mut pending = Vec::new();
    for n in 0..60 {
        for room in 1..20 {
            pending.push(store.submit(step(room, n)));
            if room % 7 == 0 {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
    }
    for (pos, pending) in (1..).zip(pending) {
        assert_eq!(pending.await, Ok(StreamPos(pos)));
    }
}
