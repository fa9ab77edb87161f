//! The network as the rest sees it: one request to a server, one answer.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use ruma::ServerName;

use crate::Arriving;

/// Most requests: asked for by somebody who waits.
const TIME: Duration = Duration::from_secs(30);
/// Bytes of most answers.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The state of a large room takes a while to be put together …
const LARGE_TIME: Duration = Duration::from_secs(180);
/// … and is large: 100,000 member events of a kilobyte.
const LARGE_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// What an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// From finding the server to the last byte of the answer.
    pub time: Duration,
    /// Bytes of the answer's body.
    pub answer_bytes: usize,
}

impl CallLimits {
    /// For answers that hold the state of a room: `send_join`, `state`, `event_auth`.
    pub const LARGE: Self = Self { time: LARGE_TIME, answer_bytes: LARGE_ANSWER_BYTES };

    /// The same bytes in another time.
    #[must_use]
    pub const fn within(self, time: Duration) -> Self {
        Self { time, ..self }
    }
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { time: TIME, answer_bytes: ANSWER_BYTES }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// No address (or none that is allowed), no connection, broken TLS, a broken answer.
    #[error("{0}")]
    Unreachable(String),
    #[error("no answer in time")]
    TimedOut,
    #[error("the answer is too large")]
    TooLarge,
}

/// An exchange on its way.
pub type Exchange<'a> =
    Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, WireError>> + Send + 'a>>;

/// An exchange whose answer arrives piece by piece.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Arriving, WireError>> + Send + 'a>>;

/// The network. In production [`crate::Https`]; tests connect servers of one process.
pub trait Wire: Send + Sync + 'static {
    /// Send a request to a server and bring the answer, of whatever status. The request's URI has
    /// path and query only. Redirects are not followed.
    fn exchange<'a>(
        &'a self,
        to: &'a ServerName,
        request: http::Request<Bytes>,
        limits: CallLimits,
    ) -> Exchange<'a>;

    /// The same, with an answer that is read piece by piece and never in memory as a whole.
    fn open<'a>(
        &'a self,
        to: &'a ServerName,
        request: http::Request<Bytes>,
        limits: CallLimits,
    ) -> Opening<'a> {
        Box::pin(async move { self.exchange(to, request, limits).await.map(Arriving::whole) })
    }
}

/// No network.
pub(crate) struct NoWire;

impl Wire for NoWire {
    fn exchange<'a>(
        &'a self,
        _: &'a ServerName,
        _: http::Request<Bytes>,
        _: CallLimits,
    ) -> Exchange<'a> {
        Box::pin(async { Err(WireError::Unreachable("this server does not federate".into())) })
    }
}
