use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{JoseError, ring_provider};

/// A private key of ours, with which we say to a provider who we are (`private_key_jwt`).
#[derive(Clone)]
pub struct SigningKey {
    key: EncodingKey,
    algorithm: Algorithm,
    id: Option<String>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// A private key as PEM (`-----BEGIN PRIVATE KEY-----`, PKCS#8), RSA or P-256. `id`: what the
    /// provider calls the public half.
    ///
    /// # Errors
    /// It is neither.
    pub fn from_pem(text: &str, id: Option<String>) -> Result<Self, JoseError> {
        if !text.contains("PRIVATE KEY-----") {
            return Err(JoseError::Key("there is no PEM block \"PRIVATE KEY\""));
        }
        let (key, algorithm) = EncodingKey::from_ec_pem(text.as_bytes())
            .map(|key| (key, Algorithm::ES256))
            .or_else(|_| {
                EncodingKey::from_rsa_pem(text.as_bytes()).map(|key| (key, Algorithm::RS256))
            })
            .map_err(|_| JoseError::Key("it is neither RSA nor P-256 in PKCS#8"))?;
        let key = Self { key, algorithm, id };
        // A key that cannot sign is told at the start, not at the first sign-in.
        key.sign("JWT", &json!({}))?;
        Ok(key)
    }

    /// With which algorithm it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Sign claims; `kind` is the header's `typ`. Answers the compact form.
    ///
    /// # Errors
    /// The key is on another curve or too short, or the system has no randomness.
    pub fn sign(&self, kind: &str, claims: &Value) -> Result<String, JoseError> {
        ring_provider::install();
        let mut header = Header::new(self.algorithm);
        header.typ = Some(kind.to_owned());
        header.kid.clone_from(&self.id);
        encode(&header, claims, &self.key).map_err(|_| JoseError::Key("it cannot sign"))
    }
}
