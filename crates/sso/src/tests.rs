//! Keys and signatures, what is stored, and `org.matrix.login.jwt`. People at a provider are in
//! `crates/api/tests/it/sso.rs`, with a provider on a socket.

mod jose;
mod jwt;
mod stored;

use blaupause_accounts::Accounts;
use blaupause_data::{Data, Db, Env};
use blaupause_outbound::Outbound;
use blaupause_store::MemStore;
use ruma::server_name;

use crate::{Settings, Sso};

/// Where the clock starts, in seconds.
const START_S: u64 = 1_700_000_000;

/// Test keys: they guard nothing.
const RSA: &str = include_str!("tests/rsa.pem");
const RSA_PUBLIC: &str = include_str!("tests/rsa.pub.pem");
const P256: &str = include_str!("tests/p256.pem");
const P256_PUBLIC: &str = include_str!("tests/p256.pub.pem");

async fn sso(settings: Settings) -> Sso {
    let db = Db::Mem(MemStore::new());
    let env = Env::manual(START_S * 1000);
    let data = Data::open(db, server_name!("a.example"), env).await.expect("an empty store");
    let accounts = Accounts::new(data.clone(), Default::default());
    let outbound = Outbound::new(Default::default()).expect("the system's certificates");
    Sso::new(data, accounts, settings, &outbound)
}
