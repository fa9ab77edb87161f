//! Signed tokens (JWS, RFC 7515; JWK, RFC 7517; algorithms, RFC 7518 and RFC 8037), as far as
//! identity providers use them: `jsonwebtoken` over ring. Pure.
//!
//! A [`Token`] is what somebody sent; only [`Token::verify`] gives out what stands in it. Which
//! algorithms are believed is said by whoever verifies, never by the token: there is no `none`,
//! and a key is of one kind, so that a public RSA key is never taken for a shared secret.
//!
//! Absent: encryption (JWE), certificates in headers (`x5c`, `x5u`), keys in headers (`jwk`, `jku`):
//! keys come from the configuration or the provider's own document.

mod keys;
mod ring_provider;
mod sign;
mod token;

pub use jsonwebtoken::{Algorithm, AlgorithmFamily};
pub use keys::{Keys, VerifyingKey};
use serde_json::{Map, Value};
pub use sign::SigningKey;
pub(crate) use token::Token;

/// What stands in a token.
pub(crate) type Claims = Map<String, Value>;

/// All that need a public key: what an identity provider may use.
pub const PUBLIC_ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Why a token or key is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    #[error("cannot be read: {0}")]
    Malformed(&'static str),
    #[error("is signed with an algorithm that is not allowed")]
    Algorithm,
    #[error("is signed with an unknown key")]
    UnknownKey,
    #[error("has a wrong signature")]
    Signature,
    #[error("is not a key of a known kind: {0}")]
    Key(&'static str),
}
