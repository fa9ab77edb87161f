//! Registered clients.

use std::{sync::atomic::Ordering, time::Duration};

use blaupause_data::{DIRECTORY, DataError, Found, Write};
use serde_json::{Map, Value};

use super::{
    ClientMetadata, OAuthError,
    rows::{ClientRow, StoredClient},
};
use crate::{ATTEMPTS_MAX, Accounts, AccountsError, registration::millis};

/// Registered clients at once. Beyond that only known ones register, until the sweep removes those
/// that nobody let in.
const CLIENTS_MAX: u64 = 20_000;
/// Bytes of a client id.
const CLIENT_ID_BYTES_MAX: usize = 64;
/// The use of a client is noted at most so often.
const NOTED_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// A registered client.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub metadata: ClientMetadata,
    /// Whether somebody here ever let it in.
    pub has_users: bool,
}

impl Accounts {
    /// Register a client. The same metadata gives the same client, however often it comes.
    ///
    /// # Errors
    /// The metadata cannot be registered, there are too many clients, or the store failed.
    pub async fn register_oauth_client(
        &self,
        json: &Map<String, Value>,
    ) -> Result<Client, OAuthError> {
        let metadata = ClientMetadata::parse(json)?;
        let id = metadata.client_id();
        for _ in 0..ATTEMPTS_MAX {
            let now = self.now_ms();
            let found = self.data().get::<ClientRow>(DIRECTORY, &id).await?;
            let mut write = Write::new(DIRECTORY);
            let is_new = found.is_none();
            let has_users = found.as_ref().is_some_and(|found| found.granted);
            match found {
                Some(found) if !is_stale(&found, now) => {
                    return Ok(Client { id, metadata, has_users: found.granted });
                }
                Some(found) => note(&mut write, &id, found, now, false),
                None => {
                    self.check_room_for_client().await?;
                    let metadata = metadata.clone();
                    let client =
                        StoredClient { metadata, registered_ms: now, used_ms: now, granted: false };
                    write.require_version::<ClientRow>(DIRECTORY, &id, 0);
                    write.put_version::<ClientRow>(DIRECTORY, &id, 1, &client);
                }
            }
            match self.data().commit(write).await {
                Ok(_) => {
                    self.0.oauth.clients.fetch_add(u64::from(is_new), Ordering::Relaxed);
                    return Ok(Client { id, metadata, has_users });
                }
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy.into())
    }

    async fn check_room_for_client(&self) -> Result<(), AccountsError> {
        if self.0.oauth.clients.load(Ordering::Relaxed) >= CLIENTS_MAX {
            self.sweep_oauth().await?;
        }
        if self.0.oauth.clients.load(Ordering::Relaxed) >= CLIENTS_MAX {
            return Err(AccountsError::TooMany("OAuth clients"));
        }
        Ok(())
    }

    /// A registered client; `None` if there is none of this id.
    ///
    /// # Errors
    /// The store failed.
    pub async fn oauth_client(&self, id: &str) -> Result<Option<Client>, AccountsError> {
        let found = self.stored_client(id).await?;
        Ok(found.map(|found| Client {
            id: id.to_owned(),
            has_users: found.granted,
            metadata: found.value.metadata,
        }))
    }

    pub(crate) async fn stored_client(
        &self,
        id: &str,
    ) -> Result<Option<Found<StoredClient>>, AccountsError> {
        if id.is_empty() || id.len() > CLIENT_ID_BYTES_MAX {
            return Ok(None);
        }
        Ok(self.data().get::<ClientRow>(DIRECTORY, &id.to_owned()).await?)
    }

    /// Note that a session of the client is alive, so that the sweep keeps it. Mostly one read.
    pub(super) async fn note_client_use(&self, id: &str) -> Result<(), AccountsError> {
        let now = self.now_ms();
        let Some(found) = self.stored_client(id).await? else { return Ok(()) };
        if !is_stale(&found, now) {
            return Ok(());
        }
        let mut write = Write::new(DIRECTORY);
        note(&mut write, &id.to_owned(), found, now, true);
        match self.data().commit(write).await {
            // Somebody else noted it.
            Ok(_) | Err(DataError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether it is time to note the client's use.
pub(super) fn is_stale(client: &StoredClient, now_ms: u64) -> bool {
    client.used_ms.saturating_add(millis(NOTED_EVERY)) <= now_ms
}

/// Note in a batch that the client is used. Conflicts if it changed since it was read.
pub(super) fn note(
    write: &mut Write,
    id: &String,
    found: Found<StoredClient>,
    now_ms: u64,
    granted: bool,
) {
    let mut value = found.value;
    value.used_ms = now_ms;
    value.granted |= granted;
    write.require_version::<ClientRow>(DIRECTORY, id, found.version);
    write.put_version::<ClientRow>(DIRECTORY, id, found.version + 1, &value);
}
