//! What this crate stores besides files. Rows of one media id lie in the partition
//! `Parts::named(b'M', "server/id")`.

use blaupause_data::{Data, Part, row};
use ruma::{OwnedUserId, ServerName};
use serde::{Deserialize, Serialize};

use crate::{
    BlobId,
    thumbnail::{Method, Thumbnail},
};

row! {
    /// A media id.
    pub MediaRow: Idx b'm' Versioned, () => MediaInfo
}

/// What a media id stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaInfo {
    /// `server/id`, compared on load: two names could have one partition.
    pub name: String,
    pub uploader: OwnedUserId,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// `None` while only created.
    pub content: Option<Content>,
    pub quarantined: bool,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub blob: BlobId,
    pub size_bytes: u64,
    pub content_type: Option<String>,
    pub file_name: Option<String>,
}

row! {
    /// Media ids of a user that wait for their content, with the time of their creation.
    pub PendingRow: Usr b'M' Plain, String => u64
}

row! {
    /// A thumbnail that was made: width, height, method and whether it may move.
    pub ThumbnailRow: Idx b'n' Plain, (u32, u32, u8) => Content
}

pub(crate) fn media_name(server: &ServerName, id: &str) -> String {
    format!("{server}/{id}")
}

pub(crate) fn media_part(data: &Data, name: &str) -> Part {
    data.parts().named(b'M', name)
}

impl Thumbnail {
    pub(crate) fn number(self) -> u8 {
        match (self.method, self.animated) {
            (Method::Crop, false) => 1,
            (Method::Scale, false) => 2,
            (Method::Crop, true) => 3,
            (Method::Scale, true) => 4,
        }
    }
}
