//! Transactions of other servers that were answered: the same one again is answered the same
//! (spec: "Transactions").

use std::{num::NonZeroUsize, ops::Bound, sync::Arc};

use blaupause_data::{DataError, Order, ReadSet, Write, row};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName, TransactionId};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use crate::Federation;

/// Servers whose turns are remembered. One that is forgotten and comes back has its transactions
/// done one beside the other, which is harmless.
const TURNS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
/// How long an answer is remembered, in milliseconds: servers repeat at once, or make a new one.
const KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
/// Remembered answers that each transaction looks at, to forget the old ones.
const OLD_LOOKED_AT: u32 = 8;

row! {
    /// Transactions of a server that were answered, by the hash of their id.
    pub ReceivedRow: Box b'T' Plain, [u8; 16] => Received
}

/// What a transaction was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What became of each event: why it was not taken, or nothing.
    pub events: Vec<(String, Option<String>)>,
}

/// One transaction of each server at a time.
pub(crate) struct Turns(Mutex<LruCache<OwnedServerName, Arc<tokio::sync::Mutex<()>>>>);

impl Default for Turns {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(TURNS_MAX)))
    }
}

/// A server's turn: as long as this is held no other transaction of it is done.
#[must_use = "the turn ends when this is dropped"]
pub struct ServerTurn(#[expect(dead_code, reason = "held")] OwnedMutexGuard<()>);

impl Federation {
    /// Wait until no other transaction of the server is under way: a repeated one finds the answer
    /// of the first.
    pub async fn turn_of(&self, server: &ServerName) -> ServerTurn {
        let turn = {
            let mut turns = self.turns().0.lock();
            Arc::clone(turns.get_or_insert_mut(server.to_owned(), Arc::default))
        };
        ServerTurn(turn.lock_owned().await)
    }

    /// What a transaction was answered, if it was done before. One read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn received(
        &self,
        server: &ServerName,
        txn: &TransactionId,
    ) -> Result<Option<Received>, DataError> {
        let parts = self.data().parts();
        let key = parts.hash16(txn.as_str());
        let row = self.data().get::<ReceivedRow>(parts.server(server), &key).await?;
        Ok(row.map(|row| row.value))
    }

    /// A transaction is done. Durable when this returns.
    ///
    /// # Errors
    /// The store failed.
    pub async fn note_received(
        &self,
        server: &ServerName,
        txn: &TransactionId,
        events: Vec<(String, Option<String>)>,
    ) -> Result<(), DataError> {
        let parts = self.data().parts();
        let part = parts.server(server);
        let now = self.data().env().now_millis();
        // A few others from an arbitrary place: so the old ones go in time.
        let from = self.data().env().random::<16>();
        let mut want = ReadSet::new();
        let others = want.range::<ReceivedRow>(
            part,
            Bound::Included(&from),
            Bound::<&[u8; 16]>::Unbounded,
            Order::Forward,
            OLD_LOOKED_AT,
        );
        let others = want.run(self.data()).await?.many(others)?.rows;
        let mut write = Write::new(part);
        for (key, _) in others.into_iter().filter(|(_, row)| row.at_ms + KEPT_MS < now) {
            write.del::<ReceivedRow>(part, &key);
        }
        let received = Received { at_ms: now, events };
        write.put::<ReceivedRow>(part, &parts.hash16(txn.as_str()), &received);
        self.data().commit(write).await?;
        Ok(())
    }
}
