//! One server: the real handles and workers, over a store that outlives them.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::Duration,
};

use blaupause_accounts::{Accounts, NewAccount};
use blaupause_data::{
    Data, Db, Env, Part, Write,
    rows::{Installation, InstallationRow},
};
use blaupause_federation::{Federation, Settings};
use blaupause_policy::ServerPolicy;
use blaupause_rooms::Rooms;
use blaupause_store::{MemStore, Store, Table};
use parking_lot::Mutex;
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};

use super::{
    chance::Chance,
    network::Network,
    script::{PEOPLE, Person, SERVERS},
    trace::Trace,
};

/// When every simulation begins.
pub const START_MS: u64 = 1_700_000_000_000;

/// A PKCS#8 document with an Ed25519 key is this and the 32 bytes of the key.
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// A server that runs. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    pub store: MemStore,
    pub env: Env,
    pub data: Data,
    pub federation: Federation,
    pub rooms: Rooms,
    /// What arrived beside events.
    pub messages: Arc<Mutex<BTreeSet<u64>>>,
}

impl Server {
    /// Start a server over what is stored.
    pub async fn start(
        at: usize,
        store: MemStore,
        messages: Arc<Mutex<BTreeSet<u64>>>,
        (seed, now_ms): (u64, u64),
        network: &Network,
    ) -> Self {
        let env = Env::simulated(seed, now_ms);
        let db = Db::Mem(store.clone());
        let data = Data::open(db, &name_of(at), env.clone()).await.expect("a store of its own");
        take_time(&store, &env, seed);
        let accounts = Accounts::new(data.clone(), blaupause_accounts::Settings::default());
        let settings = Settings { servers: ServerPolicy::open(), ..Settings::default() };
        let federation = Federation::new(data.clone(), network.wire(at), settings);
        federation.start().await.expect("the log is read");
        let rooms = Rooms::new(data.clone(), accounts, federation.clone(), Default::default());
        env.spawn(federation.clone().run_sender());
        env.spawn(rooms.clone().run_intake());
        Self { store, env, data, federation, rooms, messages }
    }

    pub fn name(&self) -> &ServerName {
        self.data.server_name()
    }

    /// Rows of queues: what came in and was not judged, what goes out and was not taken.
    pub async fn queued(&self) -> usize {
        let mut queued = 0;
        let mut from = None;
        loop {
            let chunk = self.store.export(Table::Box, from, 1_000).await.expect("reads");
            // The tag follows the eight bytes of the partition.
            let tags = chunk.0.iter().map(|(key, _)| key.as_bytes()[8]);
            queued += tags.filter(|tag| matches!(tag, b'i' | b'I' | b'q' | b'e')).count();
            match chunk.1 {
                Some(next) => from = Some(next),
                None => return queued,
            }
        }
    }
}

/// The store takes its time from now on: others have their turns between a read and its answer, and
/// a batch is durable before anybody is told.
fn take_time(store: &MemStore, env: &Env, seed: u64) {
    let chance = Mutex::new(Chance::new(seed ^ 0x5eed));
    store.slow_down(move || u32::try_from(chance.lock().below(3)).unwrap_or(0));
    let (store, chance) = (store.clone(), Mutex::new(Chance::new(seed ^ 0xd15c)));
    env.spawn(async move {
        loop {
            store.kept().await;
            let pause = chance.lock().below(8);
            match pause {
                0 => tokio::time::sleep(Duration::from_millis(2)).await,
                turns => {
                    for _ in 4..turns {
                        tokio::task::yield_now().await;
                    }
                }
            }
            while store.tell_next() {}
        }
    });
}

pub fn letter(at: usize) -> char {
    char::from(b'a' + u8::try_from(at).expect("a few servers"))
}

pub fn name_of(at: usize) -> OwnedServerName {
    ServerName::parse(format!("{}.example", letter(at))).expect("a name")
}

pub fn index_of(name: &ServerName) -> Option<usize> {
    (0..SERVERS).find(|at| name_of(*at) == name)
}

pub fn person(who: Person) -> OwnedUserId {
    let at = who / PEOPLE;
    UserId::parse(format!("@u{}:{}", who % PEOPLE, name_of(at))).expect("a user id")
}

/// The stores of servers that know each other's keys and have accounts, where nothing else happened
/// yet. Made once: each simulation takes copies. To be called outside of a runtime.
///
/// Who comes into a room through one server, and cannot reach the others in it whose keys it does
/// not know, cannot check what they said: that is left out here.
pub fn new_stores() -> &'static [MemStore] {
    static STORES: OnceLock<Vec<MemStore>> = OnceLock::new();
    STORES.get_or_init(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(acquainted())
    })
}

/// Each server says something to each other one: so they learn their keys.
async fn acquainted() -> Vec<MemStore> {
    let network = Network::new(0, Trace::new(false));
    let mut servers = Vec::new();
    for at in 0..SERVERS {
        let world = (at as u64, START_MS - 60_000);
        let server = Server::start(at, new_store(at).await, Arc::default(), world, &network).await;
        network.set(at, Some(server.clone()));
        servers.push(server);
    }
    for (at, server) in servers.iter().enumerate() {
        let part = server.data.parts().server(server.name());
        let mut write = Write::new(part);
        for to in (0..SERVERS).filter(|to| *to != at) {
            let greeting = serde_json::json!({});
            server.federation.owe_edu(&mut write, &name_of(to), "org.example.hello", &greeting);
        }
        server.data.commit(write).await.expect("commits");
    }
    tokio::time::sleep(Duration::from_secs(50)).await;
    let mut stores = Vec::new();
    for (at, server) in servers.into_iter().enumerate() {
        assert_eq!(server.queued().await, 0, "all is said");
        server.env.kill();
        network.set(at, None);
        stores.push(server.store.copy());
    }
    stores
}

async fn new_store(at: usize) -> MemStore {
    let (store, name, env) = (MemStore::new(), name_of(at), Env::manual(START_MS - 60_000));
    let data = Data::open(Db::Mem(store.clone()), &name, env.clone()).await.expect("a new store");
    // The same keys each time: event ids depend on them, and what happens depends on event ids.
    let number = u8::try_from(at).expect("a few servers");
    let installation = Installation {
        part_key: [number; 16],
        server_name: name.to_string(),
        signing_key: [&PKCS8[..], &[number + 1; 32]].concat(),
        signing_key_version: "a_1".to_owned(),
    };
    let mut write = Write::new(Part::slot(1));
    write.put::<InstallationRow>(Part::slot(1), &(), &installation);
    data.commit(write).await.expect("commits");
    let store = store.copy();
    let data = Data::open(Db::Mem(store.clone()), &name, env).await.expect("the same store");
    let accounts = Accounts::new(data, blaupause_accounts::Settings::default());
    for number in 0..PEOPLE {
        let new = NewAccount { localpart: format!("u{number}"), password: None, admin: false };
        accounts.create(new).await.expect("a new account");
    }
    store.copy()
}
