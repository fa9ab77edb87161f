//! Signed tokens (JWS, RFC 7515; JWK, RFC 7517; algorithms, RFC 7518 and RFC 8037), as far as
//! identity providers use them. Pure.
//!
//! A [`Token`] is what somebody sent; only [`Token::verify`] gives out what stands in it. Which
//! algorithms are believed is said by whoever verifies, never by the token: there is no `none`,
//! and a key is of one kind, so that a public RSA key is never taken for a shared secret.
//!
//! Absent: encryption (JWE), certificates in headers (`x5c`, `x5u`), keys in headers (`jwk`, `jku`):
//! keys come from the configuration or the provider's own document.

mod algorithm;
mod der;
mod keys;
mod sign;
mod token;

pub use algorithm::Algorithm;
pub(crate) use keys::Claims;
pub use keys::{Keys, VerifyingKey};
pub use sign::SigningKey;
pub(crate) use token::Token;

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
