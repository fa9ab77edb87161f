//! End-to-end encryption from the server's side: it keeps and hands out public keys, encrypted
//! key backups and to-device messages, and tells who has to look again.
//!
//! What is deliberately absent: any secret of a user. Signatures are checked where a wrong one
//! would mislead others; nothing is ever decrypted here.
//!
//! Start reading at [`E2ee`]; [`rows`] says what is stored.

mod backup;
mod cross_signing;
mod dehydrated;
mod device_keys;
mod device_lists;
mod error;
mod one_time;
mod query;
mod remote;
mod remove;
pub mod rows;
mod signatures;
mod to_device;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use blaupause_accounts::Accounts;
use blaupause_data::{Change, Data};
use blaupause_federation::Federation;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedUserId};

pub use backup::{BackupKeys, BackupVersion, StoredKeys};
pub use cross_signing::CrossSigningUpload;
pub use dehydrated::NewDehydrated;
pub use device_lists::DeviceListChanges;
pub use error::E2eeError;
pub use one_time::KeyCounts;
pub use query::UserKeys;
pub use remote::{Failures, RemoteKeysAnswer, UserDevices};
pub use signatures::SignatureFailures;
pub use to_device::{Recipients, ToDeviceMessage, ToDevicePage};

/// Devices whose key counts are kept in memory (about 100 bytes each).
const CACHED_COUNTS_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");

/// Everything about keys and to-device messages. Cheap to clone.
#[derive(Clone)]
pub struct E2ee(Arc<Inner>);

/// What operators can set. The default is that of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether other servers learn the names that people give their devices.
    pub device_names: bool,
}

struct Inner {
    data: Data,
    accounts: Accounts,
    federation: Federation,
    settings: Settings,
    counts: Mutex<LruCache<(OwnedUserId, OwnedDeviceId), Arc<KeyCounts>>>,
    /// Grows with every change of key counts, so that a count read before a change is not cached
    /// after it.
    counts_epoch: AtomicU64,
    empty_queues: to_device::EmptyQueues,
    remote: remote::Remote,
}

impl E2ee {
    /// The domain over its stored data, the people it belongs to, and the other servers.
    pub fn new(data: Data, accounts: Accounts, federation: Federation) -> Self {
        Self::with(data, accounts, federation, Settings::default())
    }

    /// The same with other settings.
    pub fn with(
        data: Data,
        accounts: Accounts,
        federation: Federation,
        settings: Settings,
    ) -> Self {
        if federation.is_on() {
            data.follow_log(remote::FOLLOWER);
        }
        let e2ee = Self(Arc::new(Inner {
            data,
            accounts,
            federation,
            settings,
            counts: Mutex::new(LruCache::new(CACHED_COUNTS_MAX)),
            counts_epoch: AtomicU64::new(0),
            empty_queues: to_device::EmptyQueues::default(),
            remote: remote::Remote::default(),
        }));
        let weak = Arc::downgrade(&e2ee.0);
        e2ee.0.data.feed().follow(Box::new(move |_, changes| {
            let Some(inner) = weak.upgrade() else { return };
            for change in changes.iter() {
                match change {
                    Change::OneTimeKeys { user, device } => {
                        inner.counts_epoch.fetch_add(1, Ordering::SeqCst);
                        inner.counts.lock().pop(&(user.clone(), device.clone()));
                    }
                    Change::ToDevice { user, device } => inner.empty_queues.forget(user, device),
                    _ => {}
                }
            }
        }));
        e2ee
    }

    pub(crate) fn data(&self) -> &Data {
        &self.0.data
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    pub(crate) fn remote(&self) -> &remote::Remote {
        &self.0.remote
    }

    pub(crate) fn settings(&self) -> Settings {
        self.0.settings
    }

    /// The other servers.
    pub fn federation(&self) -> &Federation {
        &self.0.federation
    }
}
