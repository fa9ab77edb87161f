//! The rules of the domain against the in-memory store.

mod account_data;
mod accounts;
mod appservices;
mod directory;
mod oauth;
mod refresh;
mod registration;
mod sessions;
mod stored;

use std::time::Duration;

use blaupause_data::{Data, Db, Env};
use blaupause_store::MemStore;
use ruma::{OwnedUserId, UserId, server_name};

use crate::{Accounts, Argon2Cost, Issued, NewAccount, RegistrationMode, Secret, Settings, SignIn};

pub(crate) const PASSWORD: &str = "correct horse";

/// A server of its own.
pub(crate) struct World {
    pub accounts: Accounts,
    pub data: Data,
    pub store: MemStore,
}

pub(crate) fn cheap() -> Settings {
    Settings {
        argon2: Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 },
        registration: RegistrationMode::Open,
        failed_logins: None,
        ..Settings::default()
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(cheap()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let store = MemStore::new();
        let data = open(&store).await;
        let accounts = Accounts::new(data.clone(), settings);
        Self { accounts, data, store }
    }

    /// The same store under a server with other settings.
    pub async fn restarted(&self, settings: Settings) -> Self {
        let data = self.data.clone();
        let accounts = Accounts::new(data.clone(), settings);
        Self { accounts, data, store: self.store.clone() }
    }

    pub async fn user(&self, name: &str) -> OwnedUserId {
        let new = NewAccount {
            localpart: name.to_owned(),
            password: Some(secret(PASSWORD)),
            admin: false,
        };
        self.accounts.create(new).await.expect("the name is free")
    }

    pub async fn signed_in(&self, user: &UserId) -> Issued {
        self.sign_in(user, &SignIn::default()).await
    }

    pub async fn sign_in(&self, user: &UserId, how: &SignIn) -> Issued {
        let done = self.accounts.sign_in_with_password(user.as_str(), &secret(PASSWORD), how).await;
        done.expect("name and password are right")
    }

    pub fn advance(&self, seconds: u64) {
        self.data.env().advance(Duration::from_secs(seconds));
    }

    /// Everything that is stored, as text in which secrets could be found.
    pub async fn dump(&self) -> String {
        use blaupause_data::Table;
        use blaupause_store::Store;
        let mut dump = String::new();
        for table in Table::ALL {
            let (rows, _) = self.store.export(table, None, 100_000).await.expect("memory reads");
            for (key, value) in rows {
                dump.push_str(&String::from_utf8_lossy(key.as_bytes()));
                dump.push_str(&String::from_utf8_lossy(&value));
            }
        }
        dump
    }
}

async fn open(store: &MemStore) -> Data {
    let env = Env::manual(1_800_000_000_000);
    let db = Db::Mem(store.clone());
    Data::open(db, server_name!("a.example"), env).await.expect("memory opens")
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}
