//! Policy servers (server-server API, "Policy Servers"): a server that a room has recommend its
//! events, by a signature beside those of the event's own servers.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedServerName,
    events::room::policy::{POLICY_SERVER_ED25519_SIGNING_KEY_ID, RoomPolicyEventContent},
    room_version_rules::RoomVersionRules,
    serde::Base64,
    signatures::verify_policy_server_signature,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Pdu, Refusal, seal::finish};

/// Characters of a signature that are taken: an Ed25519 signature has 86.
const SIGNATURE_CHARS_MAX: usize = 128;

/// What `m.room.policy` says.
#[derive(Clone, Debug)]
pub struct PolicyServer {
    content: RoomPolicyEventContent,
    /// As the event has it.
    key: String,
}

impl PartialEq for PolicyServer {
    fn eq(&self, other: &Self) -> bool {
        self.content.via == other.content.via && self.key == other.key
    }
}

impl Eq for PolicyServer {}

impl PolicyServer {
    /// From the content of `m.room.policy`; `None` if it is not valid: then the room has no policy
    /// server. With a key that is no key the content is valid, and no signature ever is.
    pub fn of(content: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Content {
            via: OwnedServerName,
            public_keys: Keys,
        }
        #[derive(Deserialize)]
        struct Keys {
            ed25519: String,
        }
        let Content { via, public_keys } = serde_json::from_str(content.get()).ok()?;
        let key = public_keys.ed25519;
        let parsed = Base64::parse(&key).unwrap_or_else(|_| Base64::new(Vec::new()));
        Some(Self { content: RoomPolicyEventContent::new(via, parsed), key })
    }

    /// Who is asked. Whether somebody of it is joined to the room, as it must be, the caller knows.
    pub fn via(&self) -> &OwnedServerName {
        &self.content.via
    }

    /// Whether it is asked about an event: about all but the one that names it.
    pub fn is_asked_about(pdu: &Pdu) -> bool {
        !(pdu.kind().to_string() == "m.room.policy" && pdu.state_key() == Some(""))
    }

    /// Whether the event has its signature.
    pub fn recommends(&self, pdu: &Pdu, rules: &RoomVersionRules) -> bool {
        let event = serde_json::from_str::<CanonicalJsonObject>(pdu.json());
        event
            .is_ok_and(|event| verify_policy_server_signature(&self.content, &event, rules).is_ok())
    }

    /// The event with a signature that the policy server gave. Other signatures stay.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::TooLarge`] if it does not fit; [`Refusal::NotAllowed`] if
    /// it is not good.
    pub fn signed(
        &self,
        pdu: &Pdu,
        signature: &str,
        rules: &RoomVersionRules,
    ) -> Result<Pdu, Refusal> {
        if signature.len() > SIGNATURE_CHARS_MAX {
            return Err(Refusal::Malformed("the signature is too long".to_owned()));
        }
        let mut event: CanonicalJsonObject =
            serde_json::from_str(pdu.json()).map_err(Refusal::malformed)?;
        let Some(CanonicalJsonValue::Object(signatures)) = event.get_mut("signatures") else {
            return Err(Refusal::Malformed("`signatures` is missing".to_owned()));
        };
        let of_server = signatures.entry(self.content.via.to_string());
        let of_server = of_server.or_insert_with(|| CanonicalJsonValue::Object(Default::default()));
        let CanonicalJsonValue::Object(keys) = of_server else {
            return Err(Refusal::Malformed("`signatures` holds no objects".to_owned()));
        };
        let key = POLICY_SERVER_ED25519_SIGNING_KEY_ID.to_owned();
        keys.insert(key, CanonicalJsonValue::String(signature.to_owned()));
        let signed = finish(&event, rules)?;
        if !self.recommends(&signed, rules) {
            let why = "the policy server's signature does not fit to the key that the room names";
            return Err(Refusal::NotAllowed(why.to_owned()));
        }
        Ok(signed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(content: &Value) -> Option<PolicyServer> {
        PolicyServer::of(&serde_json::value::to_raw_value(content).expect("JSON"))
    }

    #[test]
    fn a_room_has_a_policy_server_where_via_and_an_ed25519_key_are_named() {
        let server = of(&json!({ "via": "p.example", "public_keys": { "ed25519": "AAAA" } }));
        assert_eq!(server.expect("valid").via(), "p.example");
        let more = json!({ "via": "p.example", "public_keys": { "ed25519": "AAAA", "x": "?" } });
        assert!(of(&more).is_some(), "other keys do no harm");
        for content in [
            json!({}),
            json!({ "via": "p.example" }),
            json!({ "via": "p.example", "public_keys": {} }),
            json!({ "via": "p.example", "public_keys": [] }),
            json!({ "via": "p.example", "public_keys": { "ed25519": 5 } }),
            json!({ "via": 5, "public_keys": { "ed25519": "AAAA" } }),
            json!({ "via": "no server", "public_keys": { "ed25519": "AAAA" } }),
            json!({ "public_keys": { "ed25519": "AAAA" } }),
            json!({ "via": "p.example", "public_key": "AAAA" }),
        ] {
            assert_eq!(of(&content), None, "{content}");
        }
    }
}
