//! What a request is, apart from how its sender proves that they may: in 32 bytes, so that an open
//! session costs no more for a long request than for a short one.

use bytes::Bytes;
use http::request::Parts;
use ruma::UserId;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// SHA-256.
pub(super) type Digest = [u8; 32];

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// Method and path.
    endpoint: String,
    body: Bytes,
}

impl Operation {
    pub(crate) fn new(parts: &Parts, body: Bytes) -> Self {
        Self { endpoint: format!("{} {}", parts.method, parts.uri.path()), body }
    }

    /// Caller, method and path.
    pub(super) fn endpoint(&self, who: Option<&UserId>) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(who.map_or("", UserId::as_str));
        hasher.update([0]);
        hasher.update(&self.endpoint);
        hasher.finalize().into()
    }

    /// The body without `auth`, which differs from stage to stage. The order of its fields is no
    /// matter.
    pub(super) fn body(&self) -> Digest {
        let object = serde_json::from_slice::<Map<String, Value>>(&self.body);
        digest_of(object.unwrap_or_default())
    }
}

/// The digest of a body in which nothing stands but `auth`.
pub(super) fn empty_body() -> Digest {
    digest_of(Map::new())
}

fn digest_of(mut body: Map<String, Value>) -> Digest {
    body.remove("auth");
    let mut hasher = Sha256::new();
    feed_object(&mut hasher, &body);
    hasher.finalize().into()
}

/// Bodies are nested at most 127 levels deep (`json::check_object`), and so is this.
fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(object) => feed_object(hasher, object),
        Value::Array(items) => {
            hasher.update([b'[']);
            hasher.update((items.len() as u64).to_be_bytes());
            items.iter().for_each(|item| feed(hasher, item));
        }
        Value::String(text) => feed_text(hasher, b'"', text),
        Value::Number(number) => feed_text(hasher, b'1', &number.to_string()),
        Value::Bool(is_true) => hasher.update([b'b', u8::from(*is_true)]),
        Value::Null => hasher.update([b'n']),
    }
}

fn feed_object(hasher: &mut Sha256, object: &Map<String, Value>) {
    hasher.update([b'{']);
    hasher.update((object.len() as u64).to_be_bytes());
    let mut fields: Vec<_> = object.iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    for (name, value) in fields {
        feed_text(hasher, b'"', name);
        feed(hasher, value);
    }
}

fn feed_text(hasher: &mut Sha256, kind: u8, text: &str) {
    hasher.update([kind]);
    hasher.update((text.len() as u64).to_be_bytes());
    hasher.update(text);
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn body(json: &str) -> Digest {
        let (parts, ()) = Request::post("/a").body(()).expect("a request").into_parts();
        Operation::new(&parts, Bytes::copy_from_slice(json.as_bytes())).body()
    }

    #[test]
    fn the_proof_and_the_order_of_fields_make_no_other_request() {
        assert_eq!(body(r#"{"a":1,"b":{"c":2,"d":3}}"#), body(r#"{"b":{"d":3,"c":2},"a":1}"#));
        assert_eq!(body(r#"{"a":1,"auth":{"session":"x"}}"#), body(r#"{"a":1}"#));
        assert_eq!(body(r#"{"auth":{}}"#), empty_body());
        assert_eq!(body(""), empty_body());
    }

    #[test]
    fn everything_else_does() {
        let one = body(r#"{"devices":["A"]}"#);
        for other in [
            r#"{"devices":["B"]}"#,
            r#"{"devices":["A","B"]}"#,
            r#"{"devices":[["A"]]}"#,
            r#"{"devices":["A"],"x":null}"#,
            r#"{"devices":"A"}"#,
            r#"{"devices":[]}"#,
        ] {
            assert_ne!(one, body(other), "{other}");
        }
    }
}
