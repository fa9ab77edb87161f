//! What another server answers, piece by piece on to the disk.

use blaupause_federation::{Arriving, FederationError};
use blaupause_outbound::{Limits, OutboundError, Reach};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use ruma::http_headers::ContentDisposition;
use url::Url;

use super::{ANSWER_BYTES_MORE, FETCH_TIME};
use crate::{
    BlobWriter, Media, MediaError,
    multipart::{Multipart, NotMultipart, Piece},
    rows::Content,
    upload::shortened_names,
};

/// Redirects that are followed from where another server said its file lies.
const HOPS_MAX: usize = 3;

/// Whether an answer says that it is what the specification wants here.
pub(super) fn is_in_parts(answer: &Arriving) -> bool {
    let kind = text(&answer.headers, header::CONTENT_TYPE).unwrap_or_default();
    kind.trim_start().get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/"))
}

impl Media {
    /// `multipart/mixed`: an object that says nothing yet, then the file or where it lies.
    pub(super) async fn take_parts(&self, mut answer: Arriving) -> Result<Content, MediaError> {
        let mut parts = Multipart::new(text(&answer.headers, header::CONTENT_TYPE).unwrap_or(""))
            .map_err(|error| bad(&error))?;
        let mut number = 0;
        let mut file = None;
        loop {
            while let Some(piece) = parts.next().map_err(|error| bad(&error))? {
                match (piece, &mut file) {
                    (Piece::Head(headers), _) => {
                        number += 1;
                        if number == 2 {
                            if let Some(location) = text(&headers, header::LOCATION) {
                                return self.take_from(location).await;
                            }
                            file = Some(self.new_file(&headers).await?);
                        }
                    }
                    (Piece::Body(bytes), Some(file)) => file.write(&bytes).await?,
                    (Piece::EndOfPart, Some(_)) | (Piece::End, _) => {
                        let file = file.ok_or_else(|| bad(&"there is no file in it"))?;
                        return file.finish().await;
                    }
                    (Piece::Body(_) | Piece::EndOfPart, None) => {}
                }
            }
            match answer.next().await.map_err(FederationError::from)? {
                Some(bytes) => parts.push(&bytes),
                None => return Err(bad(&NotMultipart::EARLY)),
            }
        }
    }

    /// The file alone, as servers handed it out before.
    pub(super) async fn take_file(&self, mut answer: Arriving) -> Result<Content, MediaError> {
        let mut file = self.new_file(&answer.headers).await?;
        while let Some(bytes) = answer.next().await.map_err(FederationError::from)? {
            file.write(&bytes).await?;
        }
        file.finish().await
    }

    /// The file lies elsewhere, at an address that a stranger names: it must be a public one, and
    /// so must those it leads to. Nothing of us is told there.
    async fn take_from(&self, location: &str) -> Result<Content, MediaError> {
        let bytes_max = self.settings().upload_bytes_max + ANSWER_BYTES_MORE;
        let answer_bytes = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let limits = Limits { time: FETCH_TIME, answer_bytes };
        let mut url = Url::parse(location).map_err(|_| bad(&"no address of the file"))?;
        for _ in 0..=HOPS_MAX {
            let request = Request::get(url.as_str()).body(Bytes::new());
            let request = request.map_err(|_| bad(&"no address of the file"))?;
            let mut answer =
                self.outbound().open(request, Reach::Named, limits).await.map_err(elsewhere)?;
            if answer.status == StatusCode::OK {
                let mut file = self.new_file(&answer.headers).await?;
                while let Some(bytes) = answer.next().await.map_err(elsewhere)? {
                    file.write(&bytes).await?;
                }
                return file.finish().await;
            }
            let next = text(&answer.headers, header::LOCATION).filter(|_| {
                answer.status.is_redirection() && answer.status != StatusCode::NOT_MODIFIED
            });
            let next = next.and_then(|next| url.join(next).ok());
            url = next.ok_or_else(|| bad(&"the file is not where it should lie"))?;
        }
        Err(bad(&"the file is moved about"))
    }

    async fn new_file(&self, headers: &HeaderMap) -> Result<NewFile, MediaError> {
        let content_type = text(headers, header::CONTENT_TYPE).map(ToOwned::to_owned);
        let disposition = headers.get(header::CONTENT_DISPOSITION);
        let disposition =
            disposition.and_then(|value| ContentDisposition::try_from(value.as_bytes()).ok());
        let names = shortened_names(content_type, disposition.and_then(|it| it.filename));
        let writer = self.blobs().writer(self.data().env()).await?;
        Ok(NewFile { writer, names, bytes_max: self.settings().upload_bytes_max })
    }
}

/// A file that is being written.
struct NewFile {
    writer: BlobWriter,
    /// Content type and file name.
    names: (Option<String>, Option<String>),
    bytes_max: u64,
}

impl NewFile {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), MediaError> {
        if self.writer.size_bytes() + bytes.len() as u64 > self.bytes_max {
            return Err(MediaError::TooLarge { bytes_max: self.bytes_max });
        }
        Ok(self.writer.write(bytes).await?)
    }

    async fn finish(self) -> Result<Content, MediaError> {
        let (blob, size_bytes) = self.writer.finish().await?;
        let (content_type, file_name) = self.names;
        Ok(Content { blob, size_bytes, content_type, file_name })
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn bad(why: &dyn std::fmt::Display) -> MediaError {
    FederationError::BadAnswer(why.to_string()).into()
}

fn elsewhere(error: OutboundError) -> MediaError {
    match error {
        OutboundError::TooLarge => FederationError::TooLarge.into(),
        OutboundError::TimedOut => FederationError::TimedOut.into(),
        other => bad(&other),
    }
}
