//! Keys and messages across servers (spec: server-server API, "Device Management", "End-to-End
//! Encryption", "Send-to-device messaging").
//!
//! What another server says of its users' devices is kept, as long as that server tells of every
//! change: from when it was asked until a change is missing. Then it is asked again. What is kept
//! was checked: keys have the form of the specification, belong to whom they should and are signed
//! by themselves; what is wrong is left out.

mod checked;
mod claim;
mod follow;
mod lists;
mod messages;
mod query;
mod resync;
mod serve;
mod tell;
mod updates;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use blaupause_data::Follower;
use blaupause_federation::FederationError;
use parking_lot::Mutex;
use ruma::{OwnedServerName, OwnedUserId, UserId};
use tokio::sync::Semaphore;

pub(crate) use follow::FOLLOWER;
pub(crate) use messages::RemoteMessage;
pub use query::RemoteKeysAnswer;
pub use serve::UserDevices;

/// How long another server may take to hand out keys: somebody waits to send a message.
const KEYS_TIME: Duration = Duration::from_secs(10);
/// Device lists that are asked for again at once.
const RESYNCS_AT_ONCE: usize = 8;
/// Device lists that wait to be asked for again; others are when somebody needs them.
const RESYNCS_WAITING_MAX: usize = 2_000;

/// Servers that did not give what they were asked for, and why. The reason is for the log.
pub type Failures = BTreeMap<OwnedServerName, FederationError>;

/// What this part keeps in memory.
pub(crate) struct Remote {
    /// Users whose keys are being asked for.
    asked: Mutex<HashMap<OwnedUserId, Asked>>,
    resyncs: Mutex<HashSet<OwnedUserId>>,
    /// Users who turned out not to be where they were believed to be: what is kept of them may be
    /// old, and is to be forgotten.
    doubted: Arc<Mutex<HashSet<OwnedUserId>>>,
    resync_turns: Semaphore,
    /// Whoever tells other servers because of the log.
    follower: Follower,
}

/// A question under way.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    askers: u32,
    /// The list changed meanwhile: the answer may be from before.
    is_late: bool,
}

impl Default for Remote {
    fn default() -> Self {
        Self {
            asked: Mutex::default(),
            resyncs: Mutex::default(),
            doubted: Arc::default(),
            resync_turns: Semaphore::new(RESYNCS_AT_ONCE),
            follower: Follower::new(FOLLOWER),
        }
    }
}

impl Remote {
    fn begin_asking<'a>(&self, users: impl IntoIterator<Item = &'a OwnedUserId>) {
        let mut asked = self.asked.lock();
        for user in users {
            asked.entry(user.clone()).or_default().askers += 1;
        }
    }

    /// Whether the list stayed as it was since [`Self::begin_asking`].
    fn end_asking(&self, user: &UserId) -> bool {
        let mut asked = self.asked.lock();
        let Some(entry) = asked.get_mut(user) else { return false };
        entry.askers -= 1;
        let is_late = entry.is_late;
        if entry.askers == 0 {
            asked.remove(user);
        }
        !is_late
    }

    fn note_change(&self, user: &UserId) {
        if let Some(entry) = self.asked.lock().get_mut(user) {
            entry.is_late = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;

    use super::*;

    #[test]
    fn an_answer_that_a_change_overtook_is_not_kept() {
        let remote = Remote::default();
        let user = owned_user_id!("@a:x");
        remote.begin_asking([&user]);
        remote.begin_asking([&user]);
        assert!(remote.end_asking(&user));
        remote.note_change(&user);
        assert!(!remote.end_asking(&user));
        assert!(remote.asked.lock().is_empty());
        remote.begin_asking([&user]);
        assert!(remote.end_asking(&user));
    }
}
