//! When and from where devices were last seen: noted in memory, written now and then.

use std::{collections::HashMap, time::Duration};

use blaupause_data::Write;
use parking_lot::Mutex;
use ruma::{DeviceId, MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId, UInt, UserId};

use crate::{
    Accounts, AccountsError, Session,
    registration::millis,
    rows::{LastSeenRow, StoredLastSeen},
};

/// The use of a device is noted at most so often.
const NOTED_EVERY: Duration = Duration::from_secs(60);
/// Devices noted and not yet written. Beyond that nothing is noted until they are written.
const PENDING_MAX: usize = 200_000;
/// Rows written in one batch.
const ROWS_PER_BATCH: usize = 1_000;
/// Characters of a user agent.
const USER_AGENT_LENGTH_MAX: usize = 200;

/// When and from where a device was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSeen {
    pub at: MilliSecondsSinceUnixEpoch,
    pub address: Option<String>,
    pub user_agent: Option<String>,
}

/// Notes that have not been written yet.
#[derive(Default)]
pub(crate) struct LastSeenTable(Mutex<HashMap<(OwnedUserId, OwnedDeviceId), StoredLastSeen>>);

impl From<StoredLastSeen> for LastSeen {
    fn from(stored: StoredLastSeen) -> Self {
        Self {
            at: MilliSecondsSinceUnixEpoch(UInt::new_saturating(stored.at_ms)),
            address: stored.address,
            user_agent: stored.user_agent,
        }
    }
}

impl Accounts {
    /// Note that a session is in use. Cheap: to be called for every request.
    pub fn note_use(&self, session: &Session, address: Option<&str>, user_agent: Option<&str>) {
        let Some(device) = &session.device_id else { return };
        let now = self.now_ms();
        if !session.take_note(now, millis(NOTED_EVERY)) {
            return;
        }
        let seen = StoredLastSeen {
            at_ms: now,
            address: address.map(str::to_owned),
            user_agent: user_agent.map(|agent| agent.chars().take(USER_AGENT_LENGTH_MAX).collect()),
        };
        let mut pending = self.0.last_seen.0.lock();
        if pending.len() < PENDING_MAX {
            pending.insert(Self::device_key(&session.user_id, device), seen);
        }
    }

    pub(crate) fn pending_last_seen(&self, user: &UserId, device: &DeviceId) -> Option<LastSeen> {
        let pending = self.0.last_seen.0.lock();
        pending.get(&Self::device_key(user, device)).cloned().map(Into::into)
    }

    pub(crate) fn forget_last_seen(&self, user: &UserId, device: &DeviceId) {
        self.0.last_seen.0.lock().remove(&Self::device_key(user, device));
    }

    /// Write what was noted. A lost note costs nothing but a less exact time.
    ///
    /// # Errors
    /// The store failed.
    pub async fn write_last_seen(&self) -> Result<(), AccountsError> {
        let pending = std::mem::take(&mut *self.0.last_seen.0.lock());
        let mut rows: Vec<_> = pending
            .into_iter()
            .map(|((user, device), seen)| (self.part(&user), device, seen))
            .collect();
        // A batch stays within one virtual shard, whose owner writes it. There is no change line:
        // nobody follows this.
        rows.sort_by_key(|(part, ..)| *part);
        for shard in rows.chunk_by(|(a, ..), (b, ..)| a.vshard() == b.vshard()) {
            for chunk in shard.chunks(ROWS_PER_BATCH) {
                let mut write = Write::new(chunk[0].0);
                for (part, device, seen) in chunk {
                    write.put::<LastSeenRow>(*part, device, seen);
                }
                self.data().commit(write).await?;
            }
        }
        Ok(())
    }
}
