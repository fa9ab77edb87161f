use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{Batch, CommitError, Got, Key, Read, StoreError, StreamPos, Table};

/// Called for every committed batch that has change lines: in commit order, after the batch is
/// durable and readable, before its [`Pending`] resolves. Runs on the commit thread: keep it short.
pub type CommitHook = Arc<dyn Fn(StreamPos, &[Bytes]) + Send + Sync>;

/// Rows of a table in key order, and the key to go on with.
pub type Chunk = (Vec<(Key, Bytes)>, Option<Key>);

/// A row to be written by [`Db::import`](crate::Db::import); `None` removes it.
pub type Row = (Table, Key, Option<Bytes>);

/// An ordered key-value engine. See the crate documentation for what is absent on purpose.
pub trait Store: Send + Sync + 'static {
    /// One round trip, one consistent view; answers in request order. The answer to a scan ends
    /// with its limit or when it is full ([`crate::Limits::scan_bytes_max`]), whichever comes
    /// first; [`Got::Rows`] says whether rows are left.
    fn read(&self, reads: Vec<Read>) -> impl Future<Output = Result<Vec<Got>, StoreError>> + Send;

    /// Queue a batch *in call order*; preconditions see every batch queued before.
    /// Nothing happens if the returned handle is dropped: the batch still commits.
    fn submit(&self, batch: Batch) -> Pending;

    /// The newest position that is durable and readable. Take it before a read to know what the
    /// read at least contains.
    fn position(&self) -> StreamPos;

    /// Background only (export, rebuild, migration): up to `chunk` rows of a table from a key on,
    /// and the key to go on with. Chunks are not consistent with each other.
    fn export(
        &self,
        t: Table,
        from: Option<Key>,
        chunk: u32,
    ) -> impl Future<Output = Result<Chunk, StoreError>> + Send;
}

/// A queued batch. Resolves when it is durable, with its position.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<StreamPos, CommitError>>);

impl Pending {
    /// The two ends: the engine answers through the sender.
    pub fn channel() -> (oneshot::Sender<Result<StreamPos, CommitError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// A batch that was not queued.
    pub(crate) fn refused(error: CommitError) -> Self {
        let (sender, pending) = Self::channel();
        let _ = sender.send(Err(error));
        pending
    }
}

impl Future for Pending {
    type Output = Result<StreamPos, CommitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| {
            answer.unwrap_or_else(|_| Err(CommitError::Unavailable("the store has stopped".into())))
        })
    }
}
