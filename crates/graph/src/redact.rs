//! Redaction: what remains of an event whose content is taken away.

use ruma::{
    CanonicalJsonObject, canonical_json::redact_in_place, room_version_rules::RoomVersionRules,
};

use crate::{Pdu, Refusal};

/// Removes from an event's JSON all that the room version does not keep. Returns canonical JSON.
/// The event id stays the same, since it is the hash of the redacted form.
///
/// # Errors
/// [`Refusal::Malformed`] if the text is no event.
pub fn redact(json: &str, rules: &RoomVersionRules) -> Result<String, Refusal> {
    let mut event: CanonicalJsonObject = serde_json::from_str(json).map_err(Refusal::malformed)?;
    redact_in_place(&mut event, &rules.redaction, None).map_err(Refusal::malformed)?;
    serde_json::to_string(&event).map_err(Refusal::malformed)
}

impl Pdu {
    /// The event as it is after a redaction; same id, same place, same rejection mark.
    ///
    /// # Errors
    /// As [`redact`].
    pub fn redacted(&self, rules: &RoomVersionRules) -> Result<Self, Refusal> {
        let json = redact(self.json(), rules)?;
        let pdu = Self::from_stored(json, self.event_id().to_owned(), rules)?;
        Ok(pdu.with_rejected(self.rejected()))
    }
}
