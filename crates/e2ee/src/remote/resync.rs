//! Asking again for a device list of which a change is missing.

use blaupause_data::DataError;
use blaupause_federation::{CallLimits, FederationError};
use ruma::{OwnedUserId, UserId, api::federation::device::get_devices::v1::Request};

use super::{KEYS_TIME, RESYNCS_WAITING_MAX, checked::CheckedKeys};
use crate::{E2ee, E2eeError};

/// Devices of one answer that are looked at.
const DEVICES_MAX: usize = 2_000;

impl E2ee {
    /// Ask for a list again, in the background. Once at a time for each user; if the server does
    /// not answer, whoever needs the list asks again.
    pub(super) fn resync_soon(&self, user: &UserId) {
        {
            let mut waiting = self.remote().resyncs.lock();
            if waiting.len() >= RESYNCS_WAITING_MAX || !waiting.insert(user.to_owned()) {
                return;
            }
        }
        let (e2ee, user): (Self, OwnedUserId) = (self.clone(), user.to_owned());
        let stop = self.data().env().stop().clone();
        self.data().env().spawn(async move {
            let done = async {
                let _turn = e2ee.remote().resync_turns.acquire().await;
                // What comes from here on needs another look.
                e2ee.remote().resyncs.lock().remove(&user);
                e2ee.resync(&user).await
            };
            tokio::select! {
                () = stop.cancelled() => {}
                done = done => if let Err(error) = done {
                    tracing::debug!(%user, %error, "a device list was not told");
                }
            }
        });
    }

    /// Ask for a list and keep it.
    ///
    /// # Errors
    /// The other server does not tell it, or the store failed.
    pub async fn resync(&self, user: &UserId) -> Result<(), E2eeError> {
        let owned = user.to_owned();
        let known = self.remote_lists(std::slice::from_ref(&owned)).await?.pop().flatten();
        self.remote().begin_asking([&owned]);
        let limits = CallLimits::default().within(KEYS_TIME);
        let server = user.server_name();
        let said = self.federation().call_within(server, Request::new(owned.clone()), limits).await;
        let is_current = self.remote().end_asking(user);
        let said = said.map_err(E2eeError::from)?;
        if said.user_id != user {
            let why = "the list is somebody else's".to_owned();
            return Err(FederationError::BadAnswer(why).into());
        }
        let devices = said.devices.into_iter().take(DEVICES_MAX);
        let devices = devices.map(|it| (it.device_id, it.keys, it.device_display_name));
        let (master, own) = (said.master_key, said.self_signing_key);
        let keys = CheckedKeys::of(user, devices, master.as_ref(), own.as_ref());
        if !is_current {
            let why = "the list changed meanwhile".into();
            return Err(DataError::Unavailable(why).into());
        }
        self.keep_list(user, known.as_ref(), Some(said.stream_id.into()), &keys).await
    }
}
