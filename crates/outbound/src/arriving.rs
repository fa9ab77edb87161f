use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::OutboundError;

/// How long the next piece may take.
const PIECE_TIME: Duration = Duration::from_secs(30);

/// An answer whose body is read piece by piece and never in memory as a whole.
#[derive(Debug)]
pub struct Arriving {
    pub status: StatusCode,
    pub headers: HeaderMap,
    answer: reqwest::Response,
    bytes_left: usize,
}

impl Arriving {
    pub(crate) fn new(answer: reqwest::Response, bytes_max: usize) -> Result<Self, OutboundError> {
        let announced = answer.content_length().unwrap_or_default();
        if usize::try_from(announced).map_or(true, |announced| announced > bytes_max) {
            return Err(OutboundError::TooLarge);
        }
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Self { status, headers, answer, bytes_left: bytes_max })
    }

    /// The next piece; `None` at the end. What was announced and did not come is an error.
    ///
    /// # Errors
    /// It does not come in time, the connection breaks, or it grows beyond the limit.
    pub async fn next(&mut self) -> Result<Option<Bytes>, OutboundError> {
        let piece = tokio::time::timeout(PIECE_TIME, self.answer.chunk()).await;
        let Some(piece) = piece.map_err(|_| OutboundError::TimedOut)?? else { return Ok(None) };
        let left = self.bytes_left.checked_sub(piece.len());
        self.bytes_left = left.ok_or(OutboundError::TooLarge)?;
        Ok(Some(piece))
    }
}
