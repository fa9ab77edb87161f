//! What must hold of JSON before anybody looks into it.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use crate::ApiError;

/// A body must be one JSON object, nested at most 127 levels deep (serde_json's limit), with text
/// that is Unicode. Whatever of it is stored as it came can then be read by everybody who gets it,
/// and no reader's stack is exhausted.
pub(crate) fn check_object(bytes: &[u8]) -> Result<(), ApiError> {
    serde_json::from_slice::<Sound>(bytes)
        .map_err(|error| ApiError::not_json(error.to_string()))?;
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') {
        Ok(())
    } else {
        Err(ApiError::bad_json("the request body must be an object"))
    }
}

/// Any JSON, looked at in full and not kept. Serde's `IgnoredAny` and `RawValue` will not do: what
/// they skip may be nested without limit and hold lone surrogates, the former also bytes that are
/// no UTF-8.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = Self;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(body: &[u8]) -> Option<String> {
        let error = check_object(body).err()?;
        error.body()["errcode"].as_str().map(ToOwned::to_owned)
    }

    #[test]
    fn objects_are_sound() {
        for body in ["{}", " {\"a\":[1,-1,1.5,true,null,\"\\ud83d\\ude00\",{\"b\":{}}]}\n"] {
            assert_eq!(code_of(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn other_json_is_no_object() {
        for body in ["[]", "null", "1", "\"a\"", "true", " [1]"] {
            assert_eq!(code_of(body.as_bytes()).as_deref(), Some("M_BAD_JSON"), "{body}");
        }
    }

    #[test]
    fn what_is_no_json_says_so() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let bad: [&[u8]; 12] = [
            b"",
            b"not json",
            b"{\"a\":",
            b"{}{}",
            b"{\"a\":1,}",
            b"{\"a\":NaN}",
            b"{\"a\":1e999}",
            b"{\"a\":\"\xe2\x82\"}",
            b"{\"a\":\"\\ud800\"}",
            b"{\"\\udc00\":1}",
            b"{1:1}",
            deep.as_bytes(),
        ];
        for body in bad {
            let shown = String::from_utf8_lossy(&body[..body.len().min(30)]).into_owned();
            assert_eq!(code_of(body).as_deref(), Some("M_NOT_JSON"), "{shown}");
        }
    }
}
