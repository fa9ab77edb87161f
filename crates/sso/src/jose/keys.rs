use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde_json::Value;

use super::JoseError;

/// Keys of one provider that are looked at; more are ignored.
const KEYS_MAX: usize = 50;

/// Bytes of an uncompressed point on P-256 and on P-384.
const P256_BYTES: usize = 65;
const P384_BYTES: usize = 97;

/// A key with which signatures are checked.
#[derive(Clone)]
pub struct VerifyingKey {
    /// Its name in headers.
    id: Option<String>,
    /// For these it is good, and for no other.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl VerifyingKey {
    /// A shared secret.
    pub fn secret(secret: &[u8]) -> Self {
        let algorithms = AlgorithmFamily::Hmac.algorithms().to_vec();
        Self { id: None, algorithms, key: DecodingKey::from_secret(secret) }
    }

    /// A public key as PEM (`-----BEGIN PUBLIC KEY-----`).
    ///
    /// # Errors
    /// It is none of RSA, P-256, P-384, Ed25519.
    pub fn from_pem(text: &str) -> Result<Self, JoseError> {
        // Of a private key the library would take the wrong half.
        if !text.contains("PUBLIC KEY-----") || text.contains("PRIVATE KEY-----") {
            return Err(JoseError::Key("there is no PEM block \"PUBLIC KEY\""));
        }
        let pem = text.as_bytes();
        let key = DecodingKey::from_ec_pem(pem)
            .or_else(|_| DecodingKey::from_ed_pem(pem))
            .or_else(|_| DecodingKey::from_rsa_pem(pem))
            .map_err(|_| JoseError::Key("the PEM block holds no public key"))?;
        let algorithms = algorithms(&key).ok_or(JoseError::Key("its curve is not known here"))?;
        Ok(Self { id: None, algorithms, key })
    }

    /// A public key of a JWK; `None` if it is not for signatures or of a kind that nobody uses here.
    fn from_jwk(jwk: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk.clone()).ok()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
            return None;
        }
        let is_known = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => true,
            AlgorithmParameters::EllipticCurve(point) => {
                matches!(point.curve, EllipticCurve::P256 | EllipticCurve::P384)
            }
            AlgorithmParameters::OctetKeyPair(point) => point.curve == EllipticCurve::Ed25519,
            // A secret in a document that everybody may read is none.
            _ => false,
        };
        let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| is_known)?;
        let mut algorithms = algorithms(&key)?;
        if let Some(only) = jwk.common.key_algorithm {
            let only = Algorithm::try_from(only).ok()?;
            algorithms.retain(|one| *one == only);
        }
        Some(Self { id: jwk.common.key_id, algorithms, key })
    }

    fn fits(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        self.algorithms.contains(&algorithm)
            && (id.is_none() || self.id.is_none() || self.id.as_deref() == id)
    }
}

/// What a public key may be used for; `None`: on a curve that is not known here.
fn algorithms(key: &DecodingKey) -> Option<Vec<Algorithm>> {
    let bytes = || key.try_get_as_bytes().map_or(0, <[u8]>::len);
    Some(match key.family() {
        AlgorithmFamily::Ec => match bytes() {
            P256_BYTES => vec![Algorithm::ES256],
            P384_BYTES => vec![Algorithm::ES384],
            _ => return None,
        },
        family => family.algorithms().to_vec(),
    })
}

/// The keys of somebody who signs.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<VerifyingKey>);

impl Keys {
    /// Only this key.
    pub fn one(key: VerifyingKey) -> Self {
        Self(vec![key])
    }

    /// Pure. From a JWK set; keys that cannot be used are left out.
    ///
    /// # Errors
    /// It is no JWK set.
    pub fn from_jwks(document: &Value) -> Result<Self, JoseError> {
        let keys = document["keys"].as_array().ok_or(JoseError::Malformed("no list of keys"))?;
        Ok(Self(keys.iter().filter_map(VerifyingKey::from_jwk).take(KEYS_MAX).collect()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that may have signed this.
    pub(super) fn fitting<'k>(
        &'k self,
        algorithm: Algorithm,
        id: Option<&'k str>,
    ) -> impl Iterator<Item = &'k DecodingKey> {
        self.0.iter().filter(move |key| key.fits(algorithm, id)).map(|key| &key.key)
    }
}
