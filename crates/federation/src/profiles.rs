//! Profiles of users of other servers (spec: "Querying for information"), remembered for a while.

use std::{num::NonZeroUsize, time::Duration};

use lru::LruCache;
use parking_lot::Mutex;
use ruma::{
    OwnedUserId, UserId, api::federation::query::get_profile_information::v1::Request,
    profile::UserProfile,
};

use crate::{CallLimits, Federation, FederationError};

/// Profiles in memory (some kB each at the most).
const PROFILES_MAX: NonZeroUsize = NonZeroUsize::new(2_000).expect("not zero");
/// How long a profile, or that there is none, is believed, in milliseconds.
const BELIEVED_MS: u64 = 5 * 60 * 1_000;
/// Somebody looks at a name and a picture, and waits.
const PROFILE_TIME: Duration = Duration::from_secs(10);
/// Bytes of a profile (spec: client-server API, "Profiles"), and some for JSON.
const PROFILE_BYTES_MAX: usize = 80 * 1024;

/// Profiles, until when they are believed.
pub(crate) struct Profiles(Mutex<LruCache<OwnedUserId, (u64, Option<UserProfile>)>>);

impl Default for Profiles {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(PROFILES_MAX)))
    }
}

impl Federation {
    /// The profile of a user of another server; `None` if that server knows no such user.
    ///
    /// # Errors
    /// The server does not say.
    pub async fn profile(&self, user: &UserId) -> Result<Option<UserProfile>, FederationError> {
        self.permits(user.server_name())?;
        let now = self.data().env().now_millis();
        if let Some((until, profile)) = self.profiles().0.lock().get(user)
            && *until > now
        {
            return Ok(profile.clone());
        }
        let limits = CallLimits { time: PROFILE_TIME, answer_bytes: PROFILE_BYTES_MAX };
        let request = Request::new(user.to_owned());
        let profile = match self.call_within(user.server_name(), request, limits).await {
            Ok(said) => Some(with_texts(said.data)),
            Err(FederationError::Remote { status: 404, .. }) => None,
            Err(error) => return Err(error),
        };
        let remembered = (now.saturating_add(BELIEVED_MS), profile.clone());
        self.profiles().0.lock().put(user.to_owned(), remembered);
        Ok(profile)
    }
}

/// A profile without names and pictures that are no text: clients of ours rely on it.
fn with_texts(mut profile: UserProfile) -> UserProfile {
    for field in ["displayname", "avatar_url"] {
        if profile.get(field).is_some_and(|value| !value.is_string()) {
            profile.remove(field);
        }
    }
    profile
}
