//! `GET /sync` (spec: client-server API, "Syncing").

mod answer;
mod joined;
mod left;
mod plan;
mod user;

use std::{sync::Arc, time::Duration};

use ruma::{
    OwnedDeviceId, OwnedUserId,
    api::client::{
        filter::{FilterDefinition, LazyLoadOptions},
        sync::sync_events::v3,
    },
    presence::PresenceState,
};

pub(crate) use plan::stripped;
pub use user::one_time_counts;
pub(crate) use user::unused_fallback;

use crate::{Sync, SyncError, SyncToken};

/// What a client asks.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    pub user: OwnedUserId,
    pub device: Option<OwnedDeviceId>,
    pub since: Option<SyncToken>,
    pub filter: Arc<FilterDefinition>,
    pub full_state: bool,
    pub set_presence: PresenceState,
    pub timeout: Duration,
    pub use_state_after: bool,
}

impl SyncRequest {
    /// Whether members are told only as the timeline shows them, and if so whether again and again.
    fn lazy(&self) -> Option<bool> {
        match self.filter.room.state.lazy_load_options {
            LazyLoadOptions::Enabled { include_redundant_members } => {
                Some(include_redundant_members)
            }
            LazyLoadOptions::Disabled => None,
        }
    }
}

impl Sync {
    /// Answer when there is something new, or after the timeout, or when the server stops.
    ///
    /// # Errors
    /// The store failed.
    pub async fn v3(&self, request: SyncRequest) -> Result<v3::Response, SyncError> {
        let _here = self.accounts().presence().waiting(&request.user, &request.set_presence);
        let slot = self.notifier().connect(&request.user);
        // Who starts, or asks for everything, is not kept waiting.
        let waits = request.since.is_some() && !request.full_state;
        let timeout = if waits { request.timeout } else { Duration::ZERO };
        self.look_until_news(&slot, timeout, || Box::pin(self.look_v3(&request, &slot))).await
    }
}
