use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

use super::{P256, P256_PUBLIC, RSA, RSA_PUBLIC};
use crate::{
    Algorithm, JoseError, Keys, PUBLIC_ALGORITHMS, SigningKey, VerifyingKey,
    jose::{Claims, Token},
};

fn key(pem: &str) -> SigningKey {
    SigningKey::from_pem(pem, Some("k".to_owned())).expect("a private key")
}

fn public(pem: &str) -> Keys {
    Keys::one(VerifyingKey::from_pem(pem).expect("a public key"))
}

fn verify(text: &str, keys: &Keys, allowed: &[Algorithm]) -> Result<Claims, JoseError> {
    Token::parse(text)?.verify(keys, allowed).map(|(claims, _)| claims)
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with a header and a signature of somebody's choice.
fn forged(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let signed = sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signed))
}

#[test]
fn what_a_key_signed_its_public_half_verifies() {
    for (private, public_pem, algorithm) in
        [(RSA, RSA_PUBLIC, Algorithm::RS256), (P256, P256_PUBLIC, Algorithm::ES256)]
    {
        let token = key(private).sign("JWT", &json!({ "a": 1 })).expect("it signs");
        let claims = verify(&token, &public(public_pem), &[algorithm]).expect("it fits");
        assert_eq!(claims["a"], 1);
        let other = if private == RSA { P256_PUBLIC } else { RSA_PUBLIC };
        assert_eq!(
            verify(&token, &public(other), &PUBLIC_ALGORITHMS),
            Err(JoseError::UnknownKey),
            "a key of another kind"
        );
        assert_eq!(
            verify(&token, &public(public_pem), &[Algorithm::PS256]),
            Err(JoseError::Algorithm)
        );
    }
}

#[test]
fn what_was_changed_after_signing_is_refused() {
    let token = key(RSA).sign("JWT", &json!({ "sub": "alice" })).expect("it signs");
    let parts: Vec<&str> = token.split('.').collect();
    let changed = format!("{}.{}.{}", parts[0], encoded(&json!({ "sub": "bob" })), parts[2]);
    let keys = public(RSA_PUBLIC);
    assert_eq!(verify(&changed, &keys, &[Algorithm::RS256]), Err(JoseError::Signature));
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(verify(&unsigned, &keys, &[Algorithm::RS256]), Err(JoseError::Signature));
}

#[test]
fn a_token_does_not_choose_how_it_is_verified() {
    let claims = json!({ "sub": "alice" });
    let keys = public(RSA_PUBLIC);
    for alg in ["none", "None", "NONE", "", "rs256", "ES256K"] {
        let token = forged(&json!({ "alg": alg }), &claims, |_| Vec::new());
        let refused = verify(&token, &keys, &PUBLIC_ALGORITHMS);
        assert!(matches!(refused, Err(JoseError::Malformed(_))), "{alg} {refused:?}");
    }
    let token = forged(&json!({ "alg": "HS256" }), &claims, |_| Vec::new());
    assert_eq!(verify(&token, &keys, &PUBLIC_ALGORITHMS), Err(JoseError::Algorithm));
    // The public key, which everybody knows, taken for a shared secret.
    for secret in [RSA_PUBLIC, RSA_PUBLIC.trim()] {
        let token = forged(&json!({ "alg": "HS256" }), &claims, |message| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            hmac::sign(&key, message).as_ref().to_vec()
        });
        let both = [Algorithm::RS256, Algorithm::HS256];
        assert_eq!(verify(&token, &keys, &both), Err(JoseError::UnknownKey));
    }
    // A key that the token brings along.
    let header = json!({ "alg": "RS256", "jwk": { "kty": "oct", "k": "AA" }, "jku": "https://x/" });
    let token = forged(&header, &claims, |_| vec![0; 256]);
    assert_eq!(verify(&token, &keys, &PUBLIC_ALGORITHMS), Err(JoseError::Signature));
}

#[test]
fn a_shared_secret_verifies_what_it_signed() {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a secret of some length");
    let token = forged(&json!({ "alg": "HS256" }), &json!({ "a": 1 }), |message| {
        hmac::sign(&key, message).as_ref().to_vec()
    });
    let own = Keys::one(VerifyingKey::secret(b"a secret of some length"));
    assert!(verify(&token, &own, &[Algorithm::HS256]).is_ok());
    let other = Keys::one(VerifyingKey::secret(b"another one"));
    assert_eq!(verify(&token, &other, &[Algorithm::HS256]), Err(JoseError::Signature));
}

#[test]
fn what_is_no_token_is_refused() {
    let keys = public(RSA_PUBLIC);
    let good = encoded(&json!({ "alg": "RS256" }));
    let crit = encoded(&json!({ "alg": "RS256", "crit": ["x"] }));
    let long = "a".repeat(100_000);
    for bad in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", &format!("{good}.!.AA"), &long] {
        assert!(verify(bad, &keys, &[Algorithm::RS256]).is_err(), "{bad:.40}");
    }
    let refused = verify(&format!("{crit}.e30.AA"), &keys, &[Algorithm::RS256]);
    assert!(matches!(refused, Err(JoseError::Malformed(_))), "{refused:?}");
}

#[test]
fn keys_of_a_set_are_used_for_what_they_are() {
    let jwks = json!({ "keys": [
        { "kty": "RSA", "kid": "enc", "use": "enc", "n": "AQAB", "e": "AQAB" },
        { "kty": "oct", "k": "AAAA" },
        { "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" },
        { "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" },
        { "kty": "RSA", "n": "!", "e": "AQAB" },
        "no key",
    ]});
    assert!(Keys::from_jwks(&jwks).expect("a set").is_empty());
    for bad in [json!({}), json!([]), json!(null), json!({ "keys": {} })] {
        assert!(Keys::from_jwks(&bad).is_err(), "{bad}");
    }
}

#[test]
fn private_keys_of_other_kinds_are_refused() {
    for bad in ["", RSA_PUBLIC, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        assert!(SigningKey::from_pem(bad, None).is_err(), "{bad}");
    }
    assert!(VerifyingKey::from_pem(RSA).is_err());
}
