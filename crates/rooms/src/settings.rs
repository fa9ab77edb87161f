//! What operators can set.

use blaupause_graph::OWNED_STATE_VERSIONS;
use ruma::RoomVersionId;

use crate::{DelayLimits, NoticeSettings, Retention};

/// Settings of this domain; the default is what a new installation runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Room version of rooms whose creator does not ask for one.
    pub default_version: RoomVersionId,
    /// Events that the server sends later; `None`: there are none.
    pub delayed: Option<DelayLimits>,
    /// Messages of the operator; `None`: there are none.
    pub notices: Option<NoticeSettings>,
    /// How long messages are kept; `None`: for ever.
    pub retention: Option<Retention>,
    /// Whether rooms of other servers are joined before their members are known. That needs
    /// [`crate::Rooms::run_resync`], so that it is off where nobody says that it is on.
    pub faster_joins: bool,
    /// Whether other servers hear who is online, and are believed.
    pub presence_over_federation: bool,
    /// Whether other servers may read which rooms are published.
    pub directory_over_federation: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_version: RoomVersionId::V12,
            delayed: Some(DelayLimits::default()),
            notices: None,
            retention: None,
            faster_joins: false,
            presence_over_federation: false,
            directory_over_federation: false,
        }
    }
}

/// Room versions that rooms can be created in and upgraded to. The first one needs a state
/// resolution that this server does not carry.
pub const SUPPORTED_VERSIONS: [RoomVersionId; 11] = [
    RoomVersionId::V2,
    RoomVersionId::V3,
    RoomVersionId::V4,
    RoomVersionId::V5,
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

/// Whether rooms can be created in a version, also one that is not stable: those in which state
/// has owners (MSC3757).
pub(crate) fn is_supported(version: &RoomVersionId) -> bool {
    SUPPORTED_VERSIONS.contains(version)
        || OWNED_STATE_VERSIONS.iter().any(|(name, _)| *name == version.as_str())
}
