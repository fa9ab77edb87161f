//! What this crate stores. All rows lie in the partition of the user they belong to, except the
//! list of device changes, which one scan must answer for everybody.

use blaupause_data::{StreamPos, row};
use ruma::{OwnedUserId, serde::Raw};
use serde::{Deserialize, Serialize};

/// JSON text of a key object, kept as uploaded (signatures are merged in).
pub type KeyJson = String;

row! {
    /// The device keys of a device.
    pub DeviceKeysRow: Usr b'k' Versioned, String => KeyJson
}

row! {
    /// A user's cross-signing keys, by [`Usage`].
    pub CrossSigningRow: Usr b'x' Versioned, u8 => KeyJson
}

/// What a cross-signing key is for; the number is part of the key.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    Master = 1,
    SelfSigning,
    UserSigning,
}

impl Usage {
    /// All, in the order in which they must be uploaded.
    pub const ALL: [Self; 3] = [Self::Master, Self::SelfSigning, Self::UserSigning];

    /// The name in the key's `usage` list.
    pub fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::SelfSigning => "self_signing",
            Self::UserSigning => "user_signing",
        }
    }
}

row! {
    /// Signatures that this user made on other users' master keys: target user, signing key id
    /// to signature. Shown to this user only.
    pub MySignaturesRow: Usr b's' Plain, (OwnedUserId, String) => String
}

row! {
    /// Users whose master keys this user signed; the row's position says when.
    pub SignedRow: Usr b'g' Stamped, OwnedUserId => ()
}

row! {
    /// One-time keys in upload order: device, algorithm, position, index. The version is 1 as
    /// long as the key exists: claiming it requires that.
    pub OneTimeKeyRow: Box b'o' Versioned, (String, String, StreamPos, u16) => OneTimeKeyValue
}

/// A one-time or fallback key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeKeyValue {
    /// The part of the key id behind the algorithm.
    pub name: String,
    pub json: KeyJson,
}

row! {
    /// The fallback key of a device: device, algorithm.
    pub FallbackKeyRow: Box b'f' Versioned, (String, String) => FallbackKey
}

/// A fallback key: handed out when no one-time keys are left, any number of times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackKey {
    pub key: OneTimeKeyValue,
    /// Handed out at least once since it was uploaded.
    pub used: bool,
}

row! {
    /// To-device messages: device, position, index.
    pub ToDeviceRow: Box b'm' Plain, (String, StreamPos, u16) => StoredToDevice
}

/// A message for a device, as JSON `{content, sender, type}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredToDevice {
    pub json: String,
}

row! {
    /// Transactions of to-device sending that were already done: device, transaction hash.
    pub ToDeviceTxnRow: Box b't' Plain, (String, [u8; 16]) => u64
}

row! {
    /// When a user's devices or keys last changed; the row's position is what counts.
    pub DevicesChangedRow: Usr b'c' Stamped, () => ()
}

row! {
    /// All users whose devices changed, by position (directory partition).
    pub DeviceChangeRow: Seq b'd' Plain, (StreamPos, u16) => OwnedUserId
}

row! {
    /// What is known of the devices of somebody on another server. Their keys lie in
    /// [`DeviceKeysRow`] and [`CrossSigningRow`], as those of local users.
    pub RemoteListRow: Usr b'L' Versioned, () => RemoteList
}

/// How well a device list is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteList {
    /// Compared on load: two names could have one partition.
    pub user_id: OwnedUserId,
    /// The other server's number of the last change that is contained; `None`: it did not say.
    pub stream_id: Option<u64>,
    /// It is what the other server has; otherwise it has to be asked again.
    pub is_fresh: bool,
}

row! {
    /// What other servers were last told of the devices of a local user.
    pub ToldDevicesRow: Usr b't' Plain, () => ToldDevices
}

/// See [`ToldDevicesRow`]. Hashes are those of the JSON that was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldDevices {
    /// The number of the last change.
    pub stream_id: u64,
    pub devices: std::collections::BTreeMap<String, [u8; 16]>,
    /// Of the cross-signing keys that others may see.
    pub signing_keys: Option<[u8; 16]>,
}

row! {
    /// Key backup versions of a user.
    pub BackupVersionRow: Usr b'b' Versioned, u64 => BackupVersionValue
}

/// A backup version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupVersionValue {
    pub algorithm: String,
    /// JSON object.
    pub auth_data: String,
    /// Keys stored.
    pub count: u64,
    /// Grows with every change of the keys.
    pub etag: u64,
    /// Deleted versions keep their number taken.
    pub deleted: bool,
}

row! {
    /// Backed-up room keys: version, room, session.
    pub BackupKeyRow: Usr b'B' Plain, (u64, String, String) => BackupKeyValue
}

/// A backed-up room key and what decides whether another one is better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupKeyValue {
    pub is_verified: bool,
    pub first_message_index: u64,
    pub forwarded_count: u64,
    /// The `session_data` JSON object.
    pub session_data: String,
}

/// JSON text as ruma's raw type; `None` if the stored text is no JSON.
pub(crate) fn raw<T>(json: &str) -> Option<Raw<T>> {
    serde_json::from_str(json).ok()
}
