use std::future::Future;

use tokio::task::JoinHandle;

/// A task of the engine: a connection, the committer, the keeper of the lease.
#[expect(
    clippy::disallowed_methods,
    reason = "the engine lies below Env; `close` waits for these tasks"
)]
pub(super) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(task)
}
