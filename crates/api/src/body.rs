//! Bodies as they arrive: never more than is allowed, never slower than is fair.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{HeaderMap, header};
use tokio::time::{Instant, timeout};

use crate::ApiError;

/// Longest pause between two pieces of a body.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A body of any size may take so long …
const GRACE: Duration = Duration::from_secs(60);
/// … and a second more for so many bytes that have arrived: slower than the slowest mobile network
/// is nobody who means it.
const BYTES_PER_SECOND_MIN: u64 = 4 * 1024;

/// A body on its way.
pub(crate) struct Arriving {
    pieces: BodyDataStream,
    bytes: u64,
    since: Instant,
}

impl Arriving {
    pub(crate) fn new(body: Body) -> Self {
        Self { pieces: body.into_data_stream(), bytes: 0, since: Instant::now() }
    }

    /// The next piece; `None` after the last one.
    ///
    /// # Errors
    /// 408 if it comes too slowly, 400 if the connection ended early.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let allowed = GRACE + Duration::from_secs(self.bytes / BYTES_PER_SECOND_MIN);
        let left = allowed.saturating_sub(self.since.elapsed());
        let piece = timeout(left.min(PAUSE_MAX), self.pieces.next()).await;
        match piece.map_err(|_| ApiError::too_slow())? {
            None => Ok(None),
            Some(Ok(piece)) => {
                self.bytes = self.bytes.saturating_add(piece.len() as u64);
                Ok(Some(piece))
            }
            Some(Err(_)) => Err(ApiError::not_json("the request body ended early")),
        }
    }
}

/// A whole body.
///
/// # Errors
/// As [`Arriving::next`]; 413 if it has more bytes than are allowed.
pub(crate) async fn whole(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Bytes, ApiError> {
    let too_large = || ApiError::too_large("the request body is too large");
    // Who says that it will be too much need not send it.
    if announced(headers).is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(too_large());
    }
    let mut arriving = Arriving::new(body);
    let Some(first) = arriving.next().await? else { return Ok(Bytes::new()) };
    if first.len() > bytes_max {
        return Err(too_large());
    }
    let Some(second) = arriving.next().await? else { return Ok(first) };
    let mut all = BytesMut::from(first);
    let mut piece = Some(second);
    while let Some(next) = piece {
        if all.len() + next.len() > bytes_max {
            return Err(too_large());
        }
        all.extend_from_slice(&next);
        piece = arriving.next().await?;
    }
    Ok(all.freeze())
}

/// How many bytes the sender says there are.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    /// Pieces, each so long after the one before.
    fn dripping(pieces: usize, pause: Duration, size: usize) -> Body {
        let pieces = stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; size]))
        });
        Body::from_stream(pieces)
    }

    async fn read(body: Body, bytes_max: usize) -> Result<usize, (u16, String)> {
        let read = whole(&HeaderMap::new(), body, bytes_max).await;
        read.map(|bytes| bytes.len()).map_err(|error| {
            let status = error.status().as_u16();
            (status, error.body()["errcode"].as_str().unwrap_or_default().to_owned())
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_too_slow() {
        let stopped = dripping(2, Duration::from_secs(31), 100);
        assert_eq!(read(stopped, 1_000).await, Err((408, "M_UNKNOWN".to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_too_slow() {
        let drips = dripping(1_000, Duration::from_secs(1), 1);
        let before = Instant::now();
        assert_eq!(read(drips, 10_000).await, Err((408, "M_UNKNOWN".to_owned())));
        assert!(before.elapsed() <= GRACE + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_over_a_slow_network_arrives() {
        let slow = dripping(600, Duration::from_secs(1), 5_000);
        assert_eq!(read(slow, 10_000_000).await, Ok(3_000_000));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_in_one_piece_and_in_many() {
        for (pieces, size) in [(1, 101), (101, 1), (2, 51)] {
            let body = dripping(pieces, Duration::ZERO, size);
            assert_eq!(read(body, 100).await, Err((413, "M_TOO_LARGE".to_owned())));
        }
        assert_eq!(read(dripping(100, Duration::ZERO, 1), 100).await, Ok(100));
        assert_eq!(read(Body::empty(), 100).await, Ok(0));
    }

    #[tokio::test]
    async fn an_announced_size_over_the_limit_is_refused_before_it_is_sent() {
        let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, "101".parse().expect("ok"))]);
        let refused =
            whole(&headers, Body::from_stream(stream::pending::<std::io::Result<Bytes>>()), 100);
        assert_eq!(refused.await.expect_err("too large").status(), 413);
    }
}
