use ruma::{OwnedEventId, OwnedServerName};

/// Why the graph does not accept something.
///
/// The texts may name event types, user ids and field names, never message content. They are safe
/// to show to the person or server that sent the event, [`Refusal::Corrupt`] excepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a Matrix event: no JSON, no canonical JSON, a field is missing or has the wrong type.
    #[error("malformed event: {0}")]
    Malformed(String),
    /// A field or the whole event is longer than the specification allows.
    #[error("{what} is {size_bytes} bytes long, {limit_bytes} are allowed")]
    TooLarge {
        /// The field, or `event`.
        what: &'static str,
        /// Length found, in bytes.
        size_bytes: usize,
        /// Length allowed, in bytes.
        limit_bytes: usize,
    },
    /// The caller gave no key of a server that has to have signed. Fetch its keys, then ask again.
    #[error("no signing keys of {0} at hand")]
    KeysMissing(OwnedServerName),
    /// A signature is missing or wrong.
    #[error("signature check failed: {0}")]
    BadSignature(String),
    /// The authorization rules of the room version forbid the event.
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// The caller handed over an event of another room or with an unexpected id.
    #[error("{0} does not belong here")]
    Misplaced(OwnedEventId),
    /// State resolution is not defined for the room version, or the rules gave up.
    #[error("state cannot be resolved: {0}")]
    Unresolvable(String),
    /// What was stored contradicts itself. A fault of ours or of the disk, not of the sender.
    #[error("stored data is broken: {0}")]
    Corrupt(String),
}

impl Refusal {
    pub(crate) fn malformed(reason: impl std::fmt::Display) -> Self {
        Self::Malformed(reason.to_string())
    }

    pub(crate) fn corrupt(reason: impl std::fmt::Display) -> Self {
        Self::Corrupt(reason.to_string())
    }
}
