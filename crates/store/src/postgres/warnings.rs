//! What the server says beside its answers.
//!
//! A commit whose wait for the synchronous standby is cancelled is *answered* as a success, with a
//! warning that it may not have reached the standby (PostgreSQL, `SyncRepWaitForLSN`).

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{AsyncMessage, Connection, error::Severity};

/// The newest warning on a connection.
#[derive(Clone, Default)]
pub(super) struct Warnings(Arc<Mutex<Option<String>>>);

impl Warnings {
    /// What the server warned of since the last call. It stands here before the answer that it
    /// belongs to is seen: messages of a connection come in order.
    pub fn take(&self) -> Option<String> {
        self.0.lock().take()
    }

    /// Carry a connection's messages until it ends.
    pub async fn drive<S, T>(self, mut connection: Connection<S, T>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        poll_fn(|context| self.poll(&mut connection, context)).await;
    }

    fn poll<S, T>(&self, connection: &mut Connection<S, T>, context: &mut Context<'_>) -> Poll<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        while let Some(Ok(message)) = ready!(connection.poll_message(context)) {
            if let AsyncMessage::Notice(notice) = message
                && notice.parsed_severity() == Some(Severity::Warning)
            {
                *self.0.lock() = Some(notice.message().to_owned());
            }
        }
        Poll::Ready(())
    }
}
