//! Previews of links (spec: client-server API, `GET /media/preview_url`).
//!
//! Whoever asks chooses what the server fetches. So every address, after every redirect, goes
//! through `outbound`, which connects to public networks only and decides on the address it
//! connects to; what comes is limited in time and size, and believed only as far as it can be read.

mod fetch;
mod page;
mod patterns;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use blaupause_outbound::{Outbound, OutboundError, Reach};
use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::UserId;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use url::Url;

pub use patterns::UrlPatterns;

use crate::{Media, MediaError};
use fetch::Fetched;
use page::{Found, IMAGE};

/// Bytes of an address.
const URL_BYTES_MAX: usize = 2_048;
/// Previews kept in memory (about 1 kB each).
const KEPT_MAX: NonZeroUsize = NonZeroUsize::new(2_000).expect("not zero");
/// Pages and images fetched at the same time.
const FETCHES_MAX: usize = 16;
/// That a page cannot be fetched is remembered for so long.
const FAILURE_KEPT: Duration = Duration::from_secs(60);

/// What operators can set.
#[derive(Clone, Debug)]
pub struct PreviewSettings {
    /// Pages that are fetched; `None`: all.
    pub allow: Option<UrlPatterns>,
    /// Pages that are not.
    pub deny: UrlPatterns,
    /// Whether pages on addresses that are not public are fetched.
    pub private_addresses: bool,
    pub page_bytes_max: usize,
    pub image_bytes_max: usize,
    /// For one exchange.
    pub timeout: Duration,
    /// How long a preview is kept.
    pub kept_ms: u64,
}

impl Default for PreviewSettings {
    fn default() -> Self {
        Self {
            allow: None,
            deny: UrlPatterns::default(),
            private_addresses: false,
            page_bytes_max: 2 << 20,
            image_bytes_max: 5 << 20,
            timeout: Duration::from_secs(10),
            kept_ms: 60 * 60 * 1000,
        }
    }
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The text is no address of a page.
    #[error("this is no address of a page")]
    BadUrl,
    /// The operator does not want this page fetched.
    #[error("this server makes no previews of this page")]
    Denied,
    /// The page cannot be fetched. Why is not said: it would say what there is in other networks.
    #[error("the page cannot be fetched")]
    Unreachable,
    /// An image could not be stored.
    #[error(transparent)]
    Media(#[from] MediaError),
}

/// One preview: whoever wants the same waits for the one who fetches it.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

#[derive(Clone)]
struct Kept {
    /// `None`: the page could not be fetched.
    preview: Option<Arc<Map<String, Value>>>,
    until_ms: u64,
}

/// Makes previews. Cheap to clone.
#[derive(Clone)]
pub struct Previews(Arc<Inner>);

struct Inner {
    media: Media,
    outbound: Outbound,
    settings: PreviewSettings,
    kept: Mutex<LruCache<String, Slot>>,
    fetches: Semaphore,
}

impl std::fmt::Debug for Previews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Previews")
    }
}

impl Previews {
    /// Previews whose images become files of this server.
    pub fn new(media: Media, settings: PreviewSettings, outbound: Outbound) -> Self {
        let kept = Mutex::new(LruCache::new(KEPT_MAX));
        let fetches = Semaphore::new(FETCHES_MAX);
        Self(Arc::new(Inner { media, outbound, settings, kept, fetches }))
    }

    /// What a page says about itself: OpenGraph fields, its image as a file of this server. Empty
    /// if it says nothing.
    ///
    /// # Errors
    /// [`PreviewError`].
    pub async fn preview(
        &self,
        user: &UserId,
        url: &str,
    ) -> Result<Arc<Map<String, Value>>, PreviewError> {
        let url = parsed(url)?;
        self.check(&url)?;
        let slot = self.slot(url.as_str());
        let mut kept = slot.lock().await;
        let now = self.0.media.data().env().now_millis();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until_ms > now) {
            return kept.preview.clone().ok_or(PreviewError::Unreachable);
        }
        let made = self.make(user, url).await;
        let (preview, kept_ms) = match &made {
            Ok(preview) => (Some(Arc::new(preview.clone())), self.0.settings.kept_ms),
            Err(PreviewError::Unreachable) => (None, FAILURE_KEPT.as_millis() as u64),
            Err(_) => return made.map(Arc::new),
        };
        *kept = Some(Kept { preview: preview.clone(), until_ms: now + kept_ms });
        preview.ok_or(PreviewError::Unreachable)
    }

    fn slot(&self, url: &str) -> Slot {
        let mut kept = self.0.kept.lock();
        Arc::clone(kept.get_or_insert(url.to_owned(), Slot::default))
    }

    /// Whether the operator wants it fetched.
    fn check(&self, url: &Url) -> Result<(), PreviewError> {
        let settings = &self.0.settings;
        let is_allowed = settings.allow.as_ref().is_none_or(|allow| allow.fit(url));
        if is_allowed && !settings.deny.fit(url) { Ok(()) } else { Err(PreviewError::Denied) }
    }

    async fn make(&self, user: &UserId, url: Url) -> Result<Map<String, Value>, PreviewError> {
        let limit = self.0.settings.page_bytes_max.max(self.0.settings.image_bytes_max);
        let fetched = self.fetch(url, limit).await?;
        let mut preview = Map::new();
        if fetched.is_html() {
            if fetched.body.len() > self.0.settings.page_bytes_max {
                return Err(PreviewError::Unreachable);
            }
            let found = self.read_page(&fetched).await;
            preview = found.fields;
            if let Some(image) = found.image.and_then(|image| fetched.url.join(&image).ok()) {
                self.add_image_at(user, image, &mut preview).await?;
            }
        } else {
            self.add_image(user, &fetched.body, &mut preview).await?;
        }
        Ok(preview)
    }

    async fn read_page(&self, fetched: &Fetched) -> Found {
        let text = fetched.text();
        self.0.media.data().env().cpu(move || page::read(&text)).await
    }

    /// A preview without its image is still one.
    async fn add_image_at(
        &self,
        user: &UserId,
        url: Url,
        preview: &mut Map<String, Value>,
    ) -> Result<(), PreviewError> {
        if parsed(url.as_str()).is_err() || self.check(&url).is_err() {
            return Ok(());
        }
        match self.fetch(url, self.0.settings.image_bytes_max).await {
            Ok(fetched) => self.add_image(user, &fetched.body, preview).await,
            Err(PreviewError::Media(error)) => Err(error.into()),
            Err(_) => Ok(()),
        }
    }

    /// Keep an image as a file. What it is, its own bytes say; anything else is left out.
    async fn add_image(
        &self,
        user: &UserId,
        bytes: &Bytes,
        preview: &mut Map<String, Value>,
    ) -> Result<(), PreviewError> {
        let settings = &self.0.settings;
        if bytes.len() > settings.image_bytes_max {
            return Ok(());
        }
        let looked_at = bytes.clone();
        let env = self.0.media.data().env();
        let Some(image) = env.cpu(move || page::image(&looked_at)).await else { return Ok(()) };
        let mut upload = self.0.media.upload(user).await?;
        upload.write(bytes).await?;
        let uri = upload.finish(Some(image.content_type.to_owned()), None).await?;
        preview.insert(IMAGE.into(), uri.to_string().into());
        preview.insert("og:image:type".into(), image.content_type.into());
        preview.insert("og:image:width".into(), image.width.into());
        preview.insert("og:image:height".into(), image.height.into());
        preview.insert("matrix:image:size".into(), bytes.len().into());
        Ok(())
    }

    fn reach(&self) -> Reach {
        if self.0.settings.private_addresses { Reach::Configured } else { Reach::Named }
    }
}

impl From<OutboundError> for PreviewError {
    fn from(_: OutboundError) -> Self {
        Self::Unreachable
    }
}

/// An address that a person can have seen: http or https, no name or password in it.
fn parsed(text: &str) -> Result<Url, PreviewError> {
    if text.len() > URL_BYTES_MAX {
        return Err(PreviewError::BadUrl);
    }
    let mut url = Url::parse(text).map_err(|_| PreviewError::BadUrl)?;
    let is_page = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none();
    if !is_page {
        return Err(PreviewError::BadUrl);
    }
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_pages_are_previewed() {
        for good in ["https://example.org/", "http://example.org:8080/a?b=c#d"] {
            assert!(parsed(good).is_ok(), "{good}");
        }
        let long = format!("https://example.org/{}", "a".repeat(URL_BYTES_MAX));
        for bad in [
            "",
            "example.org",
            "//example.org/",
            "ftp://example.org/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:text/html,x",
            "mxc://example.org/abc",
            "https://",
            "https://user@example.org/",
            "https://user:pw@example.org/",
            "https://:pw@example.org/",
            &long,
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
