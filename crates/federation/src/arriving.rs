//! An answer that is read piece by piece: a file need not fit into memory.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::sync::mpsc;

use crate::WireError;

/// How long the next piece may take. Who sends a byte now and then holds up nothing for long: the
/// whole answer has its time, too.
const PIECE_TIME: Duration = Duration::from_secs(30);

/// What came so far: status and headers.
#[derive(Debug)]
pub struct Arriving {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Body,
    /// Bytes that the rest may have.
    bytes_left: usize,
}

#[derive(Debug)]
enum Body {
    Whole(Bytes),
    Http(reqwest::Response),
    Pieces(mpsc::Receiver<Result<Bytes, WireError>>),
}

impl Arriving {
    /// An answer that is there already.
    pub fn whole(answer: http::Response<Bytes>) -> Self {
        let (head, body) = answer.into_parts();
        let bytes_left = body.len();
        Self { status: head.status, headers: head.headers, body: Body::Whole(body), bytes_left }
    }

    /// An answer that somebody else brings piece by piece.
    ///
    /// # Errors
    /// If it announces more than `bytes_max` bytes.
    pub fn pieces(
        head: http::Response<()>,
        pieces: mpsc::Receiver<Result<Bytes, WireError>>,
        bytes_max: usize,
    ) -> Result<Self, WireError> {
        let (head, ()) = head.into_parts();
        let announced = head.headers.get(http::header::CONTENT_LENGTH);
        let announced = announced.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        Self {
            status: head.status,
            headers: head.headers,
            body: Body::Pieces(pieces),
            bytes_left: 0,
        }
        .within(announced, bytes_max)
    }

    /// An answer over HTTP.
    ///
    /// # Errors
    /// If it announces more than `bytes_max` bytes.
    pub(crate) fn http(answer: reqwest::Response, bytes_max: usize) -> Result<Self, WireError> {
        let announced = answer.content_length().map(|it| usize::try_from(it).unwrap_or(usize::MAX));
        let (status, headers) = (answer.status(), answer.headers().clone());
        Self { status, headers, body: Body::Http(answer), bytes_left: 0 }
            .within(announced, bytes_max)
    }

    fn within(self, announced: Option<usize>, bytes_max: usize) -> Result<Self, WireError> {
        match announced {
            Some(announced) if announced > bytes_max => Err(WireError::TooLarge),
            _ => Ok(Self { bytes_left: bytes_max, ..self }),
        }
    }

    /// The next piece; `None` at the end. What was announced and did not come is an error.
    ///
    /// # Errors
    /// It does not come in time, the connection breaks, or it grows beyond the limit.
    pub async fn next(&mut self) -> Result<Option<Bytes>, WireError> {
        let piece = match &mut self.body {
            Body::Whole(body) if body.is_empty() => return Ok(None),
            Body::Whole(body) => return Ok(Some(std::mem::take(body))),
            Body::Http(answer) => {
                let piece = tokio::time::timeout(PIECE_TIME, answer.chunk()).await;
                let piece = piece.map_err(|_| WireError::TimedOut)?;
                piece.map_err(|error| crate::transport::failure(&error))?
            }
            Body::Pieces(pieces) => {
                let piece = tokio::time::timeout(PIECE_TIME, pieces.recv()).await;
                piece.map_err(|_| WireError::TimedOut)?.transpose()?
            }
        };
        let Some(piece) = piece else { return Ok(None) };
        self.bytes_left = self.bytes_left.checked_sub(piece.len()).ok_or(WireError::TooLarge)?;
        Ok(Some(piece))
    }

    /// The rest, if it has no more than so many bytes.
    ///
    /// # Errors
    /// As [`Arriving::next`].
    pub(crate) async fn rest(&mut self, bytes_max: usize) -> Result<Bytes, WireError> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if body.len() + piece.len() > bytes_max {
                return Err(WireError::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }
}
