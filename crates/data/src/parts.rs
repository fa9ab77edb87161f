//! Which partition a name lies in, and short keyed hashes of long names.

use std::hash::Hasher;

use blaupause_store::Part;
use ruma::{EventId, RoomAliasId, RoomId, ServerName, UserId};
use siphasher::{
    sip::SipHasher24,
    sip128::{Hasher128, SipHasher24 as SipHasher128},
};

/// First partition number that a hash may give; below lie slots and directories.
const FIRST_HASHED: u64 = 1 << 16;

/// The partition of server-wide directories (users, public rooms): rows written beside the batch
/// of the room or user they describe, read only by scans.
pub const DIRECTORY: Part = Part(256);

/// Computes partitions with this installation's key, so that nobody outside can aim at one.
#[derive(Clone, Copy)]
pub struct Parts {
    key: [u8; 16],
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

impl Parts {
    /// With the key of this installation, which never changes.
    pub fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    fn part(self, kind: u8, name: &str) -> Part {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write_u8(kind);
        hasher.write(name.as_bytes());
        let hash = hasher.finish();
        Part(if hash < FIRST_HASHED { hash | FIRST_HASHED } else { hash })
    }

    /// The partition of a room.
    pub fn room(self, id: &RoomId) -> Part {
        self.part(b'R', id.as_str())
    }

    /// The partition of a user, local or remote.
    pub fn user(self, id: &UserId) -> Part {
        self.part(b'U', id.as_str())
    }

    /// The partition of another server.
    pub fn server(self, name: &ServerName) -> Part {
        self.part(b'D', name.as_str())
    }

    /// The partition that a room alias's row lies in.
    pub fn alias(self, alias: &RoomAliasId) -> Part {
        self.part(b'A', alias.as_str())
    }

    /// The partition that an event's place ("which room?") lies in.
    pub fn event(self, id: &EventId) -> Part {
        self.part(b'E', id.as_str())
    }

    /// The partition of anything else that is found by name: media, registration tokens, ….
    /// `kind` is an upper-case ASCII letter other than R, U, D, A, E.
    pub fn named(self, kind: u8, name: &str) -> Part {
        debug_assert!(kind.is_ascii_uppercase() && !b"RUDAE".contains(&kind));
        self.part(kind, name)
    }

    /// 128-bit keyed hash, for names that may be longer than a key allows.
    pub fn hash16(self, text: &str) -> [u8; 16] {
        let mut hasher = SipHasher128::new_with_key(&self.key);
        hasher.write(text.as_bytes());
        hasher.finish128().as_bytes()
    }
}
