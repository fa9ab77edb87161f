//! Fetching a page or an image.

use blaupause_outbound::Limits;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use url::Url;

use super::{PreviewError, Previews, parsed};

/// Redirects that are followed.
const HOPS_MAX: usize = 5;
/// What can be used.
const ACCEPT: &str = "text/html,application/xhtml+xml,image/png,image/jpeg,image/gif,image/webp";

/// What came.
pub(super) struct Fetched {
    /// Where it came from, after redirects.
    pub url: Url,
    headers: HeaderMap,
    pub body: Bytes,
}

impl Previews {
    /// Fetch, following redirects. Each address is looked at like the first.
    pub(super) async fn fetch(&self, url: Url, bytes_max: usize) -> Result<Fetched, PreviewError> {
        let _turn = self.0.fetches.acquire().await.map_err(|_| PreviewError::Unreachable)?;
        let limits = Limits { time: self.0.settings.timeout, answer_bytes: bytes_max };
        let mut url = url;
        for _ in 0..=HOPS_MAX {
            let request = Request::get(url.as_str())
                .header(header::ACCEPT, ACCEPT)
                .body(Bytes::new())
                .map_err(|_| PreviewError::BadUrl)?;
            let answer = self.0.outbound.send(request, self.reach(), limits).await?;
            let (parts, body) = answer.into_parts();
            if parts.status == StatusCode::OK {
                return Ok(Fetched { url, headers: parts.headers, body });
            }
            if !parts.status.is_redirection() {
                return Err(PreviewError::Unreachable);
            }
            let next = parts.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
            let next = next.and_then(|to| url.join(to).ok()).ok_or(PreviewError::Unreachable)?;
            url = parsed(next.as_str()).map_err(|_| PreviewError::Unreachable)?;
            self.check(&url)?;
        }
        Err(PreviewError::Unreachable)
    }
}

impl Fetched {
    fn content_type(&self) -> &str {
        self.headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub fn is_html(&self) -> bool {
        let kind = self.content_type().split(';').next().unwrap_or_default().trim();
        ["text/html", "application/xhtml+xml"].iter().any(|html| kind.eq_ignore_ascii_case(html))
    }

    /// UTF-8, or else what nearly all other pages are in (ISO 8859-1).
    pub fn text(&self) -> String {
        match std::str::from_utf8(&self.body) {
            Ok(text) => text.to_owned(),
            Err(_) if self.content_type().to_ascii_lowercase().contains("utf-8") => {
                String::from_utf8_lossy(&self.body).into_owned()
            }
            Err(_) => self.body.iter().map(|byte| char::from(*byte)).collect(),
        }
    }
}
