//! Files that users upload: stored, handed out, thumbnailed.
//!
//! File contents lie in a folder, each under the SHA-256 of its bytes, written and synced before
//! the row that names it. Rows say what a media id is. So a row never names a file that is not
//! there, and a backup copies rows first, then files.
//!
//! What is deliberately absent: HTTP headers (see the `api` crate) and any decoder of exotic
//! formats. Only PNG, JPEG, GIF and WebP are decoded, after their size was read from the header.
//!
//! Start reading at [`Media`].

mod blobs;
mod download;
mod error;
mod multipart;
mod preview;
mod remote;
pub mod rows;
#[cfg(test)]
mod tests;
mod thumbnail;
mod upload;

use std::{path::PathBuf, sync::Arc};

use blaupause_data::Data;
use blaupause_federation::Federation;
use blaupause_outbound::Outbound;

pub use blobs::{BlobId, BlobWriter};
pub use download::Download;
pub use error::MediaError;
pub use preview::{PreviewError, PreviewSettings, Previews, UrlPatterns};
pub use rows::MediaInfo;
pub use thumbnail::{Method, Thumbnail, ThumbnailSize};
pub use upload::{Created, Upload};

/// What operators can set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Folder for file contents.
    pub path: PathBuf,
    /// Bytes of one upload.
    pub upload_bytes_max: u64,
    /// How long a created media id waits for its content, in milliseconds.
    pub unused_expires_ms: u64,
    /// Created media ids without content that one user may have.
    pub pending_per_user_max: usize,
    /// Pixels of an image that is thumbnailed.
    pub thumbnail_source_pixels_max: u64,
    /// Free bytes of the folder's disk below which no file is taken in.
    pub free_bytes_min: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: PathBuf::from("media"),
            upload_bytes_max: 50 * 1024 * 1024,
            unused_expires_ms: 24 * 60 * 60 * 1000,
            pending_per_user_max: 5,
            thumbnail_source_pixels_max: 50_000_000,
            free_bytes_min: 2 << 30,
        }
    }
}

/// Everything about files. Cheap to clone.
#[derive(Clone)]
pub struct Media(Arc<Inner>);

struct Inner {
    data: Data,
    federation: Federation,
    outbound: Outbound,
    settings: Settings,
    fetches: remote::Fetches,
    blobs: blobs::Blobs,
    /// Woken when a pending media id gets its content.
    arrived: tokio::sync::Notify,
}

impl Media {
    /// The domain over its stored data, the other servers and where they keep files. Makes the
    /// folder.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub async fn open(
        data: Data,
        federation: Federation,
        outbound: Outbound,
        settings: Settings,
    ) -> Result<Self, MediaError> {
        let blobs = blobs::Blobs::open(settings.path.clone()).await?;
        let arrived = tokio::sync::Notify::new();
        let fetches = remote::Fetches::default();
        Ok(Self(Arc::new(Inner { data, federation, outbound, settings, fetches, blobs, arrived })))
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn federation(&self) -> &Federation {
        &self.0.federation
    }

    /// For files that other servers keep elsewhere.
    pub(crate) fn outbound(&self) -> &Outbound {
        &self.0.outbound
    }

    pub(crate) fn fetches(&self) -> &remote::Fetches {
        &self.0.fetches
    }

    pub(crate) fn data(&self) -> &Data {
        &self.0.data
    }

    pub(crate) fn blobs(&self) -> &blobs::Blobs {
        &self.0.blobs
    }

    pub(crate) fn arrived(&self) -> &tokio::sync::Notify {
        &self.0.arrived
    }
}
