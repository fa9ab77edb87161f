//! Events from other servers: raw JSON becomes a [`Pdu`] if size, shape, signatures and hash hold
//! (server-server API, checks performed on receipt of a PDU, steps 1–3).
//!
//! What is *not* checked here: whether the keys given were valid at the event's time (only the key
//! ring knows), and whether the event is allowed ([`crate::authorize`]).

use std::collections::BTreeSet;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId,
    OwnedRoomId, OwnedServerName, RoomId, UserId,
    canonical_json::redact_in_place,
    room_version_rules::RoomVersionRules,
    signatures::{
        PublicKeyMap, VerificationError, Verified, required_server_signatures_to_verify_event,
        verify_event, verify_json,
    },
};
use serde_json::value::RawValue;

use crate::{
    Pdu, Refusal,
    limits::{check_format, parse_canonical},
    named::event_id_of,
};

/// An event of the right size and shape whose signatures nobody has checked yet. Tells which keys
/// to fetch; becomes a [`Pdu`] by [`Unverified::verify`] only.
#[derive(Clone, Debug)]
pub struct Unverified {
    event: CanonicalJsonObject,
    pdu: Pdu,
    signers: BTreeSet<OwnedServerName>,
    /// One of the signers, whom no rule of the room asks for.
    cosigner: Option<OwnedServerName>,
}

/// Checks everything at once; for callers that already have the keys.
///
/// # Errors
/// As [`Unverified::parse`] and [`Unverified::verify`].
pub fn admit(
    raw: &RawValue,
    rules: &RoomVersionRules,
    keys: &PublicKeyMap,
) -> Result<Pdu, Refusal> {
    Unverified::parse(raw, rules)?.verify(keys, rules)
}

impl Unverified {
    /// Checks canonical JSON, sizes, presence and types of all fields, and computes the event id.
    /// `unsigned` is thrown away: nothing vouches for what a peer writes there.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] or [`Refusal::TooLarge`]. The event is to be dropped.
    pub fn parse(raw: &RawValue, rules: &RoomVersionRules) -> Result<Self, Refusal> {
        let mut event = parse_canonical(raw)?;
        event.remove("unsigned");
        let json = check_format(&event, rules)?;
        let event_id = event_id_of(&event, rules)?;
        let pdu = Pdu::from_stored(json, event_id, rules)?;
        let signers = required_server_signatures_to_verify_event(&event, &rules.signatures)
            .map_err(Refusal::malformed)?;
        Ok(Self { event, pdu, signers, cosigner: None })
    }

    /// One more server must have signed it: the one that was asked to, as that of somebody who is
    /// invited.
    #[must_use]
    pub fn signed_by(mut self, server: OwnedServerName) -> Self {
        self.cosigner = self.signers.insert(server.clone()).then_some(server);
        self
    }

    /// Its id, from its hash: right even if the signatures turn out wrong.
    pub fn event_id(&self) -> &EventId {
        self.pdu.event_id()
    }

    /// The room it claims to be in.
    pub fn room_id(&self) -> &RoomId {
        self.pdu.room_id()
    }

    /// The user it claims to be from.
    pub fn sender(&self) -> &UserId {
        self.pdu.sender()
    }

    /// The time it claims; keys must have been valid then.
    pub fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.pdu.origin_server_ts()
    }

    /// Parents it names.
    pub fn prev_events(&self) -> &[OwnedEventId] {
        self.pdu.prev_events()
    }

    /// Auth events it names.
    pub fn auth_events(&self) -> &[OwnedEventId] {
        self.pdu.auth_events()
    }

    /// The servers that must have signed it.
    pub fn signers(&self) -> &BTreeSet<OwnedServerName> {
        &self.signers
    }

    /// The ids (`ed25519:…`) of the keys with which a server claims to have signed it.
    pub fn key_ids(&self, server: &ruma::ServerName) -> impl Iterator<Item = &str> {
        self.event
            .get("signatures")
            .and_then(CanonicalJsonValue::as_object)
            .and_then(|signatures| signatures.get(server.as_str()))
            .and_then(CanonicalJsonValue::as_object)
            .into_iter()
            .flat_map(|keys| keys.keys().map(String::as_str))
    }

    /// Checks the signatures of all [`Unverified::signers`] and the content hash. If only the hash
    /// is wrong the event is redacted, as the specification wants it: somebody redacted it on the
    /// way, or wants to make us believe a content that nobody signed.
    ///
    /// # Errors
    /// [`Refusal::KeysMissing`] if `keys` has none of a server, [`Refusal::BadSignature`] if a
    /// signature is absent or wrong, [`Refusal::Malformed`] if hash or signatures are malformed.
    pub fn verify(mut self, keys: &PublicKeyMap, rules: &RoomVersionRules) -> Result<Pdu, Refusal> {
        self.verify_cosigner(keys, rules)?;
        match verify_event(keys, &self.event, rules).map_err(|e| signature_refusal(&e))? {
            Verified::All => Ok(self.pdu),
            Verified::Signatures => {
                redact_in_place(&mut self.event, &rules.redaction, None)
                    .map_err(Refusal::malformed)?;
                let json = serde_json::to_string(&self.event).map_err(Refusal::malformed)?;
                Pdu::from_stored(json, self.pdu.event_id().to_owned(), rules)
            }
        }
    }

    fn verify_cosigner(
        &self,
        keys: &PublicKeyMap,
        rules: &RoomVersionRules,
    ) -> Result<(), Refusal> {
        let Some(server) = &self.cosigner else { return Ok(()) };
        let mut event = self.event.clone();
        redact_in_place(&mut event, &rules.redaction, None).map_err(Refusal::malformed)?;
        // ruma looks at every signature that is there.
        if let Some(CanonicalJsonValue::Object(signatures)) = event.get_mut("signatures") {
            signatures.retain(|name, _| name == server.as_str());
        }
        if self.key_ids(server).next().is_none() {
            return Err(Refusal::BadSignature(format!("{server} has not signed it")));
        }
        verify_json(keys, &event).map_err(|error| signature_refusal(&error))
    }

    /// The room a raw event claims to be in, read without any check: enough to find the room's
    /// version, which is needed to check the rest. `None` if there is none to be read, as in the
    /// create event of version 12.
    pub fn room_id_of(raw: &RawValue) -> Option<OwnedRoomId> {
        #[derive(serde::Deserialize)]
        struct Room {
            room_id: OwnedRoomId,
        }

        serde_json::from_str::<Room>(raw.get()).ok().map(|room| room.room_id)
    }
}

fn signature_refusal(error: &VerificationError) -> Refusal {
    match error {
        VerificationError::NoPublicKeysForEntity(server) => match server.parse() {
            Ok(server) => Refusal::KeysMissing(server),
            Err(_) => Refusal::BadSignature(error.to_string()),
        },
        VerificationError::Json(_) | VerificationError::ParseIdentifier { .. } => {
            Refusal::malformed(error)
        }
        _ => Refusal::BadSignature(error.to_string()),
    }
}
