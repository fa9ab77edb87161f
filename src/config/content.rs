//! `[rooms]`, `[media]`, `[legacy_media]`, `[url_preview]`, `[delayed_events]`: what people make.

use std::path::PathBuf;

use ruma::RoomVersionId;
use serde::{Deserialize, Serialize};

use super::{Findings, Period, Size};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rooms {
    /// Of rooms whose creator does not ask for another.
    pub default_version: RoomVersionId,
}

impl Default for Rooms {
    fn default() -> Self {
        Self { default_version: RoomVersionId::V12 }
    }
}

/// The versions that new rooms may have unless somebody asks for another one. Those before 6 have
/// known weaknesses: whoever wants one says so in the request.
const ROOM_VERSIONS: [RoomVersionId; 7] = [
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

impl Rooms {
    pub(super) fn check(&self, found: &mut Findings) {
        let version = &self.default_version;
        if !ROOM_VERSIONS.contains(version) {
            let known: Vec<&str> = ROOM_VERSIONS.iter().map(RoomVersionId::as_str).collect();
            found.error(
                "rooms.default_version",
                format!("`{version}` is not a room version of this server ({})", known.join(", ")),
            );
        } else if !matches!(version, RoomVersionId::V10 | RoomVersionId::V11 | RoomVersionId::V12) {
            found.warn(
                "rooms.default_version",
                "is older than 10, the oldest the specification recommends",
            );
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    pub path: PathBuf,
    pub upload_size_max: Size,
    /// How long an address that a client reserved waits for its content.
    pub pending_lifetime: Period,
    /// Reserved addresses without content that one user may have.
    pub pending_per_user_max: usize,
    pub thumbnails: Thumbnails,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thumbnails {
    /// Bigger images get no thumbnail, measured by their header: what a decoder would unfold.
    pub source_pixels_max: u64,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/blaupause/media"),
            upload_size_max: Size::mib(50),
            pending_lifetime: Period::hours(24),
            pending_per_user_max: 5,
            thumbnails: Thumbnails::default(),
        }
    }
}

impl Default for Thumbnails {
    fn default() -> Self {
        Self { source_pixels_max: 50_000_000 }
    }
}

impl Media {
    pub(super) fn check(&self, found: &mut Findings) {
        if self.path.as_os_str().is_empty() {
            found.error("media.path", "must be set");
        }
        if self.upload_size_max < Size::kib(1) {
            found.error("media.upload_size_max", "must be at least 1 KiB");
        }
        if self.thumbnails.source_pixels_max == 0 {
            found.error("media.thumbnails.source_pixels_max", "must be at least 1");
        } else if self.thumbnails.source_pixels_max > 200_000_000 {
            found.warn(
                "media.thumbnails.source_pixels_max",
                "lets one image take more than 800 MB of memory",
            );
        }
    }
}

/// `/_matrix/media/v3/download` and `thumbnail`, which ask for no login.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LegacyMedia {
    pub enabled: bool,
}

impl LegacyMedia {
    pub(super) fn check(&self, found: &mut Findings) {
        if self.enabled {
            found.warn(
                "legacy_media.enabled",
                "lets anybody who knows an address fetch media without a login",
            );
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UrlPreview {
    pub enabled: bool,
    /// Whether pages on private addresses are fetched: opens the inner network to every user.
    pub allow_private_addresses: bool,
    /// Pages that are fetched. Empty: all.
    pub allow: Vec<String>,
    /// Pages that are not.
    pub deny: Vec<String>,
    pub page_size_max: Size,
    pub image_size_max: Size,
    pub timeout: Period,
    /// How long a preview is kept.
    pub lifetime: Period,
}

impl Default for UrlPreview {
    fn default() -> Self {
        Self {
            enabled: false,
            allow_private_addresses: false,
            allow: Vec::new(),
            deny: Vec::new(),
            page_size_max: Size::mib(2),
            image_size_max: Size::mib(5),
            timeout: Period::seconds(10),
            lifetime: Period::hours(1),
        }
    }
}

impl UrlPreview {
    pub(super) fn check(&self, found: &mut Findings) {
        if self.enabled && self.allow_private_addresses {
            found.warn(
                "url_preview.allow_private_addresses",
                "lets every user read pages of the inner network",
            );
        }
        for (key, patterns) in
            [("url_preview.allow", &self.allow), ("url_preview.deny", &self.deny)]
        {
            if let Err(text) = blaupause_media::UrlPatterns::parse(patterns) {
                found.error(key, text);
            }
        }
        if self.timeout < Period::seconds(1) || self.timeout > Period::minutes(1) {
            found.error("url_preview.timeout", "must be between 1s and 1m");
        }
        for (key, size) in [
            ("url_preview.page_size_max", self.page_size_max),
            ("url_preview.image_size_max", self.image_size_max),
        ] {
            if size < Size::kib(1) || size > Size::mib(64) {
                found.error(key, "must be between 1 KiB and 64 MiB");
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DelayedEvents {
    pub enabled: bool,
    /// Longest time that an event may wait.
    pub delay_max: Period,
    /// Events of one user that may wait at the same time.
    pub per_user_max: u32,
}

impl Default for DelayedEvents {
    fn default() -> Self {
        Self { enabled: true, delay_max: Period::hours(24), per_user_max: 100 }
    }
}

impl DelayedEvents {
    pub(super) fn check(&self, found: &mut Findings) {
        if !self.enabled {
            return;
        }
        if self.delay_max == Period::ZERO {
            found.error("delayed_events.delay_max", "must be above 0");
        }
        if self.per_user_max == 0 {
            found.error("delayed_events.per_user_max", "must be at least 1");
        }
    }
}
