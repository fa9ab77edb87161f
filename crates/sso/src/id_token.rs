//! What an ID token must say (OpenID Connect Core 1.0, section 3.1.3.7). Pure.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest;
use serde_json::Value;

use crate::{
    error::Refused,
    jose::{Algorithm, Claims},
};

/// Clocks may differ by so many seconds.
pub(crate) const LEEWAY_S: u64 = 60;
/// Bytes of a `sub` (OpenID Connect Core, section 2).
const SUBJECT_BYTES_MAX: usize = 255;

/// What the token is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'e> {
    pub issuer: &'e str,
    pub client_id: &'e str,
    pub nonce: &'e str,
    pub access_token: &'e str,
    pub algorithm: Algorithm,
    /// Seconds since the Unix epoch.
    pub now_s: u64,
    /// The person must have signed in at the provider since then.
    pub fresh_since_s: Option<u64>,
}

/// Pure. Whether the token is for this sign-in; answers whose it is.
///
/// # Errors
/// The first claim that is wrong.
pub(crate) fn check<'c>(claims: &'c Claims, wanted: &Expected<'_>) -> Result<&'c str, Refused> {
    if text(claims, "iss") != Some(wanted.issuer) {
        return Err(Refused::Claim("iss is not the configured issuer"));
    }
    check_audience(claims, wanted.client_id)?;
    check_time(claims, wanted.now_s)?;
    if text(claims, "nonce") != Some(wanted.nonce) {
        return Err(Refused::Claim("nonce is not the one of this sign-in"));
    }
    if let Some(hash) = claims.get("at_hash")
        && hash.as_str() != Some(&half_hash(wanted.algorithm, wanted.access_token))
    {
        return Err(Refused::Claim("at_hash is not that of the access token"));
    }
    if let Some(since) = wanted.fresh_since_s {
        let at = claims.get("auth_time").and_then(Value::as_u64);
        if at.is_none_or(|at| at.saturating_add(LEEWAY_S) < since) {
            return Err(Refused::NotFresh);
        }
    }
    subject(claims)
}

/// Whom the claims are about.
pub(crate) fn subject(claims: &Claims) -> Result<&str, Refused> {
    text(claims, "sub")
        .filter(|sub| !sub.is_empty() && sub.len() <= SUBJECT_BYTES_MAX)
        .ok_or(Refused::Claim("sub is missing or too long"))
}

/// Whether the claims are for us, and if for others too, given to us.
pub(crate) fn check_audience(claims: &Claims, client_id: &str) -> Result<(), Refused> {
    let is_ours = |value: &Value| value.as_str() == Some(client_id);
    let (ours, many) = match claims.get("aud") {
        Some(Value::Array(all)) => (all.iter().any(is_ours), all.len() > 1),
        Some(one) => (is_ours(one), false),
        None => (false, false),
    };
    if !ours {
        return Err(Refused::Claim("aud does not name our client id"));
    }
    match claims.get("azp") {
        Some(azp) if !is_ours(azp) => Err(Refused::Claim("azp is another client")),
        None if many => Err(Refused::Claim("aud names several, and azp is missing")),
        _ => Ok(()),
    }
}

/// Whether the claims hold now: `exp` and `iat` must be there.
pub(crate) fn check_time(claims: &Claims, now_s: u64) -> Result<(), Refused> {
    match seconds(claims, "exp") {
        None => return Err(Refused::Claim("exp is missing")),
        Some(exp) if exp.saturating_add(LEEWAY_S) <= now_s => {
            return Err(Refused::Claim("it has expired"));
        }
        Some(_) => {}
    }
    if seconds(claims, "iat").is_none_or(|iat| iat > now_s.saturating_add(LEEWAY_S)) {
        return Err(Refused::Claim("iat is missing or in the future"));
    }
    check_not_before(claims, now_s)
}

pub(crate) fn check_not_before(claims: &Claims, now_s: u64) -> Result<(), Refused> {
    if claims.contains_key("nbf")
        && seconds(claims, "nbf").is_none_or(|nbf| nbf > now_s.saturating_add(LEEWAY_S))
    {
        return Err(Refused::Claim("it is not valid yet"));
    }
    Ok(())
}

/// A time; some write them with a fraction.
pub(crate) fn seconds(claims: &Claims, name: &str) -> Option<u64> {
    let value = claims.get(name)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
    value.as_u64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| (0.0..1e12).contains(seconds))?;
        Some(seconds as u64)
    })
}

pub(crate) fn text<'c>(claims: &'c Claims, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}

/// The left half of a hash in base64url (OpenID Connect Core, section 3.1.3.6).
fn half_hash(algorithm: Algorithm, text: &str) -> String {
    let hash = match algorithm {
        Algorithm::RS256 | Algorithm::PS256 | Algorithm::ES256 | Algorithm::HS256 => {
            &digest::SHA256
        }
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 | Algorithm::HS384 => {
            &digest::SHA384
        }
        // With Ed25519 providers take the hash of the signature's own kind.
        _ => &digest::SHA512,
    };
    let hash = digest::digest(hash, text.as_bytes());
    let hash = hash.as_ref();
    URL_SAFE_NO_PAD.encode(&hash[..hash.len() / 2])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    const WANTED: Expected<'_> = Expected {
        issuer: "https://sso.example/",
        client_id: "matrix",
        nonce: "n",
        // OpenID Connect Core, appendix A.3, and its at_hash.
        access_token: "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y",
        algorithm: Algorithm::RS256,
        now_s: NOW,
        fresh_since_s: None,
    };

    fn claims(change: &str, value: Value) -> Claims {
        let mut claims = json!({
            "iss": "https://sso.example/",
            "sub": "s",
            "aud": "matrix",
            "exp": NOW + 60,
            "iat": NOW,
            "nonce": "n",
            "at_hash": "77QmUPtjPfzWtF2AnpK9RQ",
        });
        claims[change] = value;
        claims.as_object().expect("an object").clone()
    }

    #[test]
    fn what_the_provider_says_for_this_sign_in_is_believed() {
        for (claim, value) in [
            ("x", json!(1)),
            ("aud", json!(["matrix"])),
            ("azp", json!("matrix")),
            ("exp", json!(NOW as f64 + 0.5)),
            ("exp", json!(NOW - LEEWAY_S + 1)),
            ("nbf", json!(NOW)),
        ] {
            assert_eq!(check(&claims(claim, value.clone()), &WANTED), Ok("s"), "{claim} {value}");
        }
    }

    #[test]
    fn each_wrong_claim_is_refused() {
        for (claim, value) in [
            ("iss", json!("https://sso.example")),
            ("iss", Value::Null),
            ("sub", json!("")),
            ("sub", json!(1)),
            ("sub", json!("x".repeat(256))),
            ("aud", json!("other")),
            ("aud", json!([])),
            ("aud", json!(["other"])),
            ("aud", json!(["matrix", "other"])),
            ("azp", json!("other")),
            ("exp", json!(NOW - LEEWAY_S)),
            ("exp", Value::Null),
            ("exp", json!("soon")),
            ("exp", json!(-1)),
            ("iat", json!(NOW + LEEWAY_S + 1)),
            ("iat", Value::Null),
            ("nbf", json!(NOW + LEEWAY_S + 1)),
            ("nonce", json!("m")),
            ("nonce", Value::Null),
            ("at_hash", json!("x")),
            ("at_hash", json!(1)),
        ] {
            assert!(check(&claims(claim, value.clone()), &WANTED).is_err(), "{claim} {value}");
        }
    }

    #[test]
    fn a_proof_needs_a_new_sign_in() {
        let wanted = Expected { fresh_since_s: Some(NOW), ..WANTED };
        assert!(check(&claims("auth_time", json!(NOW + 5)), &wanted).is_ok());
        for old in [json!(NOW - LEEWAY_S - 1), Value::Null, json!("now")] {
            assert!(check(&claims("auth_time", old.clone()), &wanted).is_err(), "{old}");
        }
    }
}
