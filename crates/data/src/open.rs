//! The handle that every domain holds.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use blaupause_store::{Db, Part, Store, StreamPos};
use ruma::{OwnedServerName, ServerName, UserId, signatures::Ed25519KeyPair};

use crate::{
    Change, DataError, Env, Feed, Parts, ReadSet, Write,
    events::EventCache,
    log::{Followers, Pruning},
    row::decode,
    rows::{Installation, InstallationRow},
    servers::ServersCache,
    signing::{self, OldSigningKey, SigningKey},
    state::PageCache,
    tail::Tails,
};

/// The slot of this node. One node: always 1.
pub(crate) const SLOT: u8 = 1;

/// Stored data, the log's end and the environment. Cheap to clone.
#[derive(Clone)]
pub struct Data(Arc<Inner>);

struct Inner {
    db: Db,
    parts: Parts,
    env: Env,
    feed: Feed,
    events: EventCache,
    pages: PageCache,
    tails: Tails,
    servers: ServersCache,
    /// Redactions committed so far, see [`Data::events`].
    redactions: AtomicU64,
    log_followers: Followers,
    pruning: Pruning,
    server_name: OwnedServerName,
    signing_key: SigningKey,
    old_signing_keys: Vec<OldSigningKey>,
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({})", self.0.server_name)
    }
}

impl Data {
    /// Take possession of a store: a new one gets its installation secrets, an old one is checked
    /// to belong to this server.
    ///
    /// # Errors
    /// The store cannot be read or written, belongs to another server name, or is an unfinished
    /// copy.
    pub async fn open(db: Db, server_name: &ServerName, env: Env) -> Result<Self, DataError> {
        if blaupause_store::copy::is_unfinished(&db).await? {
            return Err(DataError::Unavailable(
                "it is a copy that was interrupted; `blaupause store copy` goes on with it".into(),
            ));
        }
        let installation = installation(&db, server_name, &env).await?;
        if installation.server_name != server_name.as_str() {
            return Err(DataError::Unavailable(format!(
                "the data belongs to the server {}, not to {server_name}",
                installation.server_name
            )));
        }
        let pair = signing::pair(&installation)?;
        let old_signing_keys = signing::old_keys(&db).await?;
        let data = Self(Arc::new(Inner {
            parts: Parts::new(installation.part_key),
            feed: Feed::starting_at(db.position()),
            events: EventCache::new(),
            pages: PageCache::new(),
            tails: Tails::new(),
            servers: ServersCache::new(),
            redactions: AtomicU64::new(0),
            log_followers: Followers::default(),
            pruning: Pruning::default(),
            server_name: server_name.to_owned(),
            signing_key: SigningKey(Arc::new(pair)),
            old_signing_keys,
            db,
            env,
        }));
        // So that a client which was here shortly before the start is told what is new without
        // looking through all of its rooms.
        let (batches, complete_after) = data.log_tail().await?;
        data.feed().fill(batches, complete_after);
        // Weak: the store's commit thread must not keep alive what holds the store.
        let weak = Arc::downgrade(&data.0);
        data.db().on_commit(Arc::new(move |pos, lines| {
            if let Some(inner) = weak.upgrade() {
                Self(inner).0.feed.committed(pos, lines);
            }
        }));
        let weak = Arc::downgrade(&data.0);
        data.feed().follow(Box::new(move |pos, changes| {
            let Some(inner) = weak.upgrade() else { return };
            let data = Self(inner);
            data.tails().note(data.parts(), pos, changes);
            data.servers_cache().forget_changed(data.parts(), changes);
            if changes.iter().any(|change| matches!(change, Change::Redacted { .. })) {
                data.0.redactions.fetch_add(1, Ordering::SeqCst);
                data.event_cache().forget_changed(&data, changes);
            }
        }));
        Ok(data)
    }

    /// The engine. Domains use [`ReadSet`] and [`Write`] instead.
    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// Names to partitions.
    pub fn parts(&self) -> Parts {
        self.0.parts
    }

    /// Clock, randomness, tasks.
    pub fn env(&self) -> &Env {
        &self.0.env
    }

    /// Recent changes and callbacks for new ones.
    pub fn feed(&self) -> &Feed {
        &self.0.feed
    }

    /// The newest position that is durable, readable and known to every cache, see [`Feed`].
    pub fn position(&self) -> StreamPos {
        self.0.feed.position()
    }

    /// This server's name.
    pub fn server_name(&self) -> &ServerName {
        &self.0.server_name
    }

    /// Whether a user belongs to this server.
    pub fn is_local(&self, user: &UserId) -> bool {
        user.server_name() == self.server_name()
    }

    /// This server's signing key.
    pub fn signing_key(&self) -> &SigningKey {
        &self.0.signing_key
    }

    /// The keys this server signed with before.
    pub fn old_signing_keys(&self) -> &[OldSigningKey] {
        &self.0.old_signing_keys
    }

    pub(crate) fn event_cache(&self) -> &EventCache {
        &self.0.events
    }

    pub(crate) fn page_cache(&self) -> &PageCache {
        &self.0.pages
    }

    pub(crate) fn tails(&self) -> &Tails {
        &self.0.tails
    }

    pub(crate) fn servers_cache(&self) -> &ServersCache {
        &self.0.servers
    }

    pub(crate) fn log_followers(&self) -> &Followers {
        &self.0.log_followers
    }

    pub(crate) fn pruning(&self) -> &Pruning {
        &self.0.pruning
    }

    pub(crate) fn redactions(&self) -> u64 {
        self.0.redactions.load(Ordering::SeqCst)
    }
}

async fn installation(
    db: &Db,
    server_name: &ServerName,
    env: &Env,
) -> Result<Installation, DataError> {
    let part = Part::slot(SLOT);
    if let Some(found) = ReadSet::single::<InstallationRow>(db, part, &()).await? {
        return decode::<InstallationRow>(&found).map(|found| found.value);
    }
    let key = Ed25519KeyPair::generate();
    let made = Installation {
        part_key: env.random(),
        server_name: server_name.to_string(),
        signing_key: key.to_vec(),
        signing_key_version: signing::new_version(env),
    };
    let mut write = Write::new(part);
    write.require_absent::<InstallationRow>(part, &());
    write.put::<InstallationRow>(part, &(), &made);
    db.submit(write.into_batch()).await?;
    Ok(made)
}
