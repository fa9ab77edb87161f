//! What must hold of JSON before anybody looks into it.

use ruma::{CanonicalJsonObject, canonical_json::try_from_json_map};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, value::RawValue};

use crate::ApiError;

/// A body must be one JSON object. serde_json refuses what is nested deeper than 128 levels, so
/// nothing that passes can exhaust the stack of a later reader.
pub(crate) fn check_object(bytes: &[u8]) -> Result<(), ApiError> {
    serde_json::from_slice::<IgnoredAny>(bytes)
        .map_err(|error| ApiError::not_json(error.to_string()))?;
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') {
        Ok(())
    } else {
        Err(ApiError::bad_json("the request body must be an object"))
    }
}

/// Content of an event: an object in canonical JSON, so without fractions, without numbers beyond
/// 2^53 - 1 (spec: appendices, "Canonical JSON").
pub(crate) fn canonical_object(raw: &RawValue) -> Result<CanonicalJsonObject, ApiError> {
    let object: Map<String, Value> = serde_json::from_str(raw.get())
        .map_err(|_| ApiError::bad_json("the content must be an object"))?;
    try_from_json_map(object).map_err(|error| ApiError::bad_json(error.to_string()))
}
