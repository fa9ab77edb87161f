use blaupause_accounts::{
    Accounts, Argon2Cost, Registration, RegistrationMode, Secret, Settings, SignIn,
};
use blaupause_data::{Data, Env};
use blaupause_e2ee::E2ee;
use blaupause_federation::Federation;
use blaupause_store::{Db, MemStore};
use ruma::{OwnedDeviceId, OwnedUserId, encryption::DeviceKeys, serde::Raw, server_name};
use serde_json::{Value, json};
use vodozemac::olm;

/// A server's keys and the people on it.
pub struct World {
    pub e2ee: E2ee,
    pub data: Data,
    pub store: MemStore,
    pub accounts: Accounts,
}

/// Somebody's device with a real Olm account.
pub struct Device {
    pub user: OwnedUserId,
    pub id: OwnedDeviceId,
    pub olm: olm::Account,
}

impl World {
    pub async fn new() -> Self {
        Self::speaking(|data| Federation::off(data.clone())).await
    }

    /// The same store, opened by a new process.
    pub async fn restarted(&self) -> E2ee {
        let (store, env) = (Db::Mem(self.store.copy()), self.data.env().clone());
        let data = Data::open(store, server_name!("example.org"), env).await.expect("it opens");
        let federation = Federation::off(data.clone());
        E2ee::new(data, self.accounts.clone(), federation)
    }

    /// With other servers.
    pub async fn speaking(federation: impl FnOnce(&Data) -> Federation) -> Self {
        let env = Env::manual(1_000_000);
        let store = MemStore::new();
        let data = Data::open(Db::Mem(store.clone()), server_name!("example.org"), env)
            .await
            .expect("an empty store opens");
        let settings = Settings {
            registration: RegistrationMode::Open,
            argon2: Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 },
            ..Settings::default()
        };
        let accounts = Accounts::new(data.clone(), settings);
        let federation = federation(&data);
        let e2ee = E2ee::new(data.clone(), accounts.clone(), federation);
        Self { e2ee, data, store, accounts }
    }

    /// Reads and commits of an action, printed and held to a budget.
    pub async fn budget<T>(
        &self,
        what: &str,
        most: (u64, u64),
        action: impl Future<Output = T>,
    ) -> T {
        let before = self.store.round_trips();
        let done = action.await;
        let after = self.store.round_trips();
        let spent = (after.0 - before.0, after.1 - before.1);
        println!("budget: {what}: {spent:?} of {most:?} (reads, commits)");
        assert!(spent.0 <= most.0 && spent.1 <= most.1, "{what}: {spent:?} of {most:?}");
        done
    }

    pub async fn device(&self, name: &str) -> Device {
        let wanted = Registration {
            username: Some(name.to_owned()),
            password: Some(Secret::new("a long password".to_owned())),
            sign_in: Some(SignIn::default()),
            ..Registration::default()
        };
        let made = self.accounts.register(wanted).await.expect("the name is free");
        let id = made.issued.expect("signed in").device_id;
        Device { user: made.user_id, id, olm: olm::Account::new() }
    }
}

impl Device {
    /// Device keys as a client uploads them.
    pub fn keys(&self) -> Raw<DeviceKeys> {
        let keys = self.olm.identity_keys();
        let mut object = json!({
            "user_id": self.user,
            "device_id": self.id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {
                format!("curve25519:{}", self.id): keys.curve25519.to_base64(),
                format!("ed25519:{}", self.id): keys.ed25519.to_base64(),
            },
        });
        object["signatures"] = self.signatures(&object);
        Raw::from_json_string(object.to_string()).expect("is JSON")
    }

    /// Keys are sorted in serde_json's objects, so their text is canonical.
    fn signatures(&self, object: &Value) -> Value {
        let signature = self.olm.sign(object.to_string().as_bytes()).to_base64();
        json!({ &self.user: { format!("ed25519:{}", self.id): signature } })
    }
}
