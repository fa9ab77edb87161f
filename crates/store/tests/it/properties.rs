//! Random batches and reads: every engine gives the same answers as memory.

use std::sync::atomic::{AtomicU64, Ordering};

use blaupause_pgcluster::PgCluster;
use blaupause_store::{
    Batch, Db, Got, Key, MemStore, Op, Part, Pre, Read, RocksSettings, RocksStore, Store,
    StreamPos, Table,
};
use bytes::Bytes;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

const TABLES: [Table; 3] = [Table::Seq, Table::Usr, Table::Meta];
/// Partitions of a case, next to each other so that wrong bounds show.
const PARTS: u64 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Batches submitted at once, so that they may share a group.
    Commit(Vec<Batch>),
    Read(Vec<Read>),
    /// RocksDB only: move everything to table files, where filters and merges matter.
    Flush,
}

fn table() -> impl Strategy<Value = Table> {
    proptest::sample::select(&TABLES[..])
}

/// Keys of few partitions, tags and short rests: collisions are the point.
fn key() -> impl Strategy<Value = Key> {
    (0..PARTS, b'a'..b'd', vec(0..3u8, 0..3)).prop_map(|(part, tag, rest)| {
        let mut bytes = Key::new(Part(part), tag).as_bytes().to_vec();
        bytes.extend_from_slice(&rest);
        Key::from_bytes(bytes)
    })
}

fn bound() -> impl Strategy<Value = Key> {
    prop_oneof![
        3 => key(),
        1 => key().prop_map(|k| k.successor()),
        1 => (0..=PARTS, 0..=u8::MAX).prop_map(|(part, tag)| Key::new(Part(part), tag)),
        1 => (0..PARTS, b'a'..b'd').prop_map(|(part, tag)| Key::new(Part(part), tag).prefix_end()),
    ]
}

fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        2 => (0..4u64).prop_map(|version| Bytes::copy_from_slice(&version.to_be_bytes())),
        1 => vec(any::<u8>(), 0..40).prop_map(Bytes::from),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (table(), key(), value()).prop_map(|(t, k, v)| Op::Put { t, k, v }),
        2 => (table(), key(), value(), any::<(bool, bool)>()).prop_map(stamped),
        3 => (table(), key()).prop_map(|(t, k)| Op::Del { t, k }),
        1 => (table(), bound(), bound()).prop_map(|(t, lo, hi)| Op::DelRange { t, lo, hi }),
    ]
}

fn stamped((t, k, v, (in_key, in_value)): (Table, Key, Bytes, (bool, bool))) -> Op {
    let key_at = in_key.then_some(k.as_bytes().len() as u16);
    let value_at = in_value.then_some(v.len() as u16);
    let room = |bytes: &[u8], wanted: bool| [bytes, &[0; 8][..if wanted { 8 } else { 0 }]].concat();
    let k = Key::from_bytes(room(k.as_bytes(), in_key));
    Op::PutStamped { t, k, v: room(&v, in_value).into(), key_at, value_at }
}

fn pre() -> impl Strategy<Value = Pre> {
    prop_oneof![
        (table(), key()).prop_map(|(t, k)| Pre::Absent { t, k }),
        (table(), key(), 0..4u64).prop_map(|(t, k, is)| Pre::Version { t, k, is }),
        Just(Pre::Lease { vshard: 3, epoch: 1 }),
    ]
}

fn batch() -> impl Strategy<Value = Batch> {
    let changes = vec(value(), 0..2);
    (vec(pre(), 0..2), vec(op(), 0..6), changes).prop_map(|(pre, ops, changes)| Batch {
        pre,
        ops,
        changes,
        ..Batch::default()
    })
}

fn read() -> impl Strategy<Value = Read> {
    prop_oneof![
        1 => (table(), key()).prop_map(|(t, k)| Read::Get { t, k }),
        2 => (table(), bound(), bound(), any::<bool>(), 0..20u32)
            .prop_map(|(t, lo, hi, rev, limit)| Read::Scan { t, lo, hi, rev, limit }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => vec(batch(), 1..8).prop_map(Step::Commit),
        8 => vec(read(), 1..12).prop_map(Step::Read),
        1 => Just(Step::Flush),
    ]
}

/// Both engines, kept over all cases; each case works in partitions of its own.
struct Twins {
    engine: Db,
    memory: MemStore,
    case: AtomicU64,
    runtime: tokio::runtime::Runtime,
    /// What the engine lies on; goes last.
    _ground: Box<dyn std::any::Any>,
}

impl Twins {
    fn new(runtime: tokio::runtime::Runtime, engine: Db, ground: impl std::any::Any) -> Self {
        let (memory, case) = (MemStore::new(), AtomicU64::new(1));
        Self { engine, memory, case, runtime, _ground: Box::new(ground) }
    }

    fn rocks() -> Self {
        Self::rocks_with(|settings| settings)
    }

    /// Hardly anything is in memory, so most reads begin there and end at the disk.
    fn rocks_that_caches_little() -> Self {
        Self::rocks_with(|settings| RocksSettings { cache_bytes: 16 << 10, ..settings })
    }

    fn rocks_with(change: impl FnOnce(RocksSettings) -> RocksSettings) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let settings = change(RocksSettings::new(dir.path()));
        let rocks = RocksStore::open(settings).expect("store opens");
        Self::new(runtime(), Db::Rocks(rocks), dir)
    }

    /// `None` if PostgreSQL is left out.
    fn postgres() -> Option<Self> {
        let cluster = PgCluster::start()?;
        let runtime = runtime();
        let store = runtime.block_on(crate::postgres::open(&cluster, &cluster.new_database()));
        Some(Self::new(runtime, Db::Pg(store), cluster))
    }

    /// Run the steps in new partitions on both and compare.
    fn check(&self, steps: Vec<Step>) {
        let base = self.case.fetch_add(1, Ordering::SeqCst) << 8;
        self.runtime.block_on(async {
            for step in steps {
                match step {
                    Step::Commit(batches) => self.commit(base, batches).await,
                    Step::Read(reads) => {
                        let reads: Vec<_> =
                            reads.into_iter().map(|read| move_read(read, base)).collect();
                        self.read(reads).await;
                    }
                    Step::Flush => {
                        if let Db::Rocks(rocks) = &self.engine {
                            rocks.flush().await.expect("flush works");
                        }
                    }
                }
            }
            let (lo, hi) = (Key::new(Part(base), 0), Key::new(Part(base + PARTS), 0));
            let whole = |rev| {
                let (lo, hi) = (&lo, &hi);
                Table::ALL.map(|t| Read::Scan {
                    t,
                    lo: lo.clone(),
                    hi: hi.clone(),
                    rev,
                    limit: 9_999,
                })
            };
            self.read(whole(false).into_iter().chain(whole(true)).collect()).await;
            assert_eq!(self.engine.position(), self.memory.position());
        });
    }

    async fn commit(&self, base: u64, batches: Vec<Batch>) {
        let batches: Vec<_> = batches.into_iter().map(|batch| move_batch(batch, base)).collect();
        let pending: Vec<_> =
            batches.iter().map(|batch| self.engine.submit(batch.clone())).collect();
        for (batch, pending) in batches.into_iter().zip(pending) {
            assert_eq!(pending.await, self.memory.submit(batch).await);
        }
    }

    async fn read(&self, reads: Vec<Read>) {
        let ours = self.engine.read(reads.clone()).await.expect("read works");
        let twins = self.memory.read(reads.clone()).await.expect("read works");
        assert_eq!(ours.len(), reads.len());
        for ((ours, twins), read) in ours.iter().zip(&twins).zip(&reads) {
            assert_eq!(comparable(ours), comparable(twins), "{read:?}");
        }
    }
}

fn comparable(got: &Got) -> (Option<&Bytes>, &[(Key, Bytes)], bool) {
    match got {
        Got::One(value) => (value.as_ref(), &[], false),
        Got::Rows { rows, more } => (None, rows, *more),
    }
}

fn move_key(key: &Key, base: u64) -> Key {
    let mut bytes = key.as_bytes().to_vec();
    let part = key.part().expect("keys have a partition");
    bytes[..8].copy_from_slice(&(part.0 + base).to_be_bytes());
    Key::from_bytes(bytes)
}

fn move_read(read: Read, base: u64) -> Read {
    match read {
        Read::Get { t, k } => Read::Get { t, k: move_key(&k, base) },
        Read::Scan { t, lo, hi, rev, limit } => {
            Read::Scan { t, lo: move_key(&lo, base), hi: move_key(&hi, base), rev, limit }
        }
    }
}

fn move_batch(mut batch: Batch, base: u64) -> Batch {
    for pre in &mut batch.pre {
        if let Pre::Absent { k, .. } | Pre::Version { k, .. } = pre {
            *k = move_key(k, base);
        }
    }
    for op in &mut batch.ops {
        match op {
            Op::Put { k, .. } | Op::PutStamped { k, .. } | Op::Del { k, .. } => {
                *k = move_key(k, base);
            }
            Op::DelRange { lo, hi, .. } => {
                *lo = move_key(lo, base);
                *hi = move_key(hi, base);
            }
        }
    }
    batch
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("runtime starts")
}

#[test]
fn rocks_and_memory_give_the_same_answers() {
    same_answers(&Twins::rocks(), 150);
}

#[test]
fn rocks_that_caches_little_and_memory_give_the_same_answers() {
    let twins = Twins::rocks_that_caches_little();
    same_answers(&twins, 150);
    let Db::Rocks(rocks) = &twins.engine else { unreachable!("it is RocksDB") };
    let stats = rocks.stats();
    assert!(stats.reads_inline > 20 && stats.reads_waited > 20, "both ways were gone: {stats:?}");
}

#[test]
fn postgres_and_memory_give_the_same_answers() {
    let Some(twins) = Twins::postgres() else { return };
    same_answers(&twins, 60);
}

fn same_answers(twins: &Twins, cases: u32) {
    let mut runner =
        TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
    let steps = vec(step(), 1..25);
    let result = runner.run(&steps, |steps| {
        twins.check(steps);
        Ok(())
    });
    result.expect("the twins agree");
}

#[test]
fn stamped_keys_order_like_commits_in_rocks() {
    stamped_keys_order_like_commits(&Twins::rocks(), 30);
}

#[test]
fn stamped_keys_order_like_commits_in_postgres() {
    let Some(twins) = Twins::postgres() else { return };
    stamped_keys_order_like_commits(&twins, 15);
}

fn stamped_keys_order_like_commits(twins: &Twins, cases: u32) {
    let mut runner =
        TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
    // Which of two queues each batch goes to, and whether its precondition fails.
    let result = runner.run(&vec(any::<(bool, bool)>(), 1..60), |batches| {
        let base = twins.case.fetch_add(1, Ordering::SeqCst) << 8;
        twins.runtime.block_on(queues_keep_the_order(&twins.engine, base, batches));
        Ok(())
    });
    result.expect("key order is commit order");
}

async fn queues_keep_the_order(store: &Db, base: u64, batches: Vec<(bool, bool)>) {
    let queue = |second: bool| if second { b'b' } else { b'a' };
    let submit = |(second, fails): (bool, bool)| {
        let mut k = Key::new(Part(base), queue(second)).as_bytes().to_vec();
        k.extend_from_slice(&[0; 8]);
        let (k, v) = (Key::from_bytes(k), Bytes::from_static(&[0; 8]));
        let op = Op::PutStamped { t: Table::Box, k, v, key_at: Some(9), value_at: Some(0) };
        let absent = Key::new(Part(base), b'x');
        let is = u64::from(fails);
        let pre = vec![Pre::Version { t: Table::Box, k: absent, is }];
        (second, store.submit(Batch { pre, ops: vec![op], ..Batch::default() }))
    };
    let mut expected: [Vec<StreamPos>; 2] = Default::default();
    let pending: Vec<_> = batches.into_iter().map(submit).collect();
    for (second, pending) in pending {
        if let Ok(pos) = pending.await {
            expected[usize::from(second)].push(pos);
        }
    }
    for (second, expected) in [false, true].into_iter().zip(expected) {
        assert!(expected.is_sorted());
        let (lo, hi) =
            (Key::new(Part(base), queue(second)), Key::new(Part(base), queue(second) + 1));
        let read = Read::Scan { t: Table::Box, lo, hi, rev: false, limit: 1_000 };
        let Some(Got::Rows { rows, .. }) = store.read(vec![read]).await.expect("read works").pop()
        else {
            panic!("a scan is answered with rows")
        };
        let values: Vec<_> = rows.iter().map(|(_, v)| v.clone()).collect();
        let positions: Vec<_> =
            expected.iter().map(|pos| Bytes::copy_from_slice(&pos.0.to_be_bytes())).collect();
        assert_eq!(values, positions);
    }
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn log_keys_order_like_positions(a: (u8, u64, u16), b: (u8, u64, u16)) {
        let key = |(slot, pos, index)| Batch::log_key(slot, pos, index);
        prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
    }

    #[test]
    fn prefix_end_bounds_exactly_the_prefix(prefix in vec(any::<u8>(), 1..6), other in vec(any::<u8>(), 0..8)) {
        prop_assume!(prefix.iter().any(|byte| *byte < u8::MAX));
        let (lo, other) = (Key::from_bytes(prefix.clone()), Key::from_bytes(other));
        let inside = lo <= other && other < lo.prefix_end();
        prop_assert_eq!(inside, other.as_bytes().starts_with(&prefix));
    }

    #[test]
    fn successor_is_next(key in vec(any::<u8>(), 0..6), other in vec(any::<u8>(), 0..8)) {
        let (key, other) = (Key::from_bytes(key), Key::from_bytes(other));
        prop_assert_eq!(key < other, key.successor() <= other);
    }
}
