//! What operators can set.

use ruma::RoomVersionId;

/// Settings of this domain; the default is what a new installation runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Room version of rooms whose creator does not ask for one.
    pub default_version: RoomVersionId,
}

impl Default for Settings {
    fn default() -> Self {
        Self { default_version: RoomVersionId::V12 }
    }
}

/// Room versions that rooms can be created in and upgraded to. Older ones need state resolution
/// rules that this server does not carry.
pub const SUPPORTED_VERSIONS: [RoomVersionId; 7] = [
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];
