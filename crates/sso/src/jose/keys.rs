use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{hmac, signature};
use serde_json::{Map, Value};

use super::{Algorithm, JoseError, algorithm::KeyKind, der};

/// What stands in a token.
pub(crate) type Claims = Map<String, Value>;

/// Keys of one provider that are looked at; more are ignored.
const KEYS_MAX: usize = 50;

/// A key with which signatures are checked.
#[derive(Clone)]
pub struct VerifyingKey {
    /// Its name in headers.
    id: Option<String>,
    /// The one algorithm it is for; `None`: any of its kind.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    /// Modulus and exponent, big-endian.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// PKCS#1.
    RsaDer(Vec<u8>),
    /// A point on a curve, as the algorithm of its kind wants it.
    Curve {
        kind: KeyKind,
        point: Vec<u8>,
    },
    Secret(Vec<u8>),
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl VerifyingKey {
    /// A shared secret.
    pub fn secret(secret: &[u8]) -> Self {
        Self { id: None, algorithm: None, material: Material::Secret(secret.to_vec()) }
    }

    /// A public key as PEM (`-----BEGIN PUBLIC KEY-----`).
    ///
    /// # Errors
    /// It is none of RSA, P-256, P-384, Ed25519.
    pub fn from_pem(text: &str) -> Result<Self, JoseError> {
        let missing = JoseError::Key("there is no PEM block \"PUBLIC KEY\"");
        let (kind, key) = der::public_key(&der::pem(text, "PUBLIC KEY").ok_or(missing)?)?;
        let material = match kind {
            KeyKind::Rsa => Material::RsaDer(key),
            _ => Material::Curve { kind, point: key },
        };
        Ok(Self { id: None, algorithm: None, material })
    }

    /// A public key of a JWK; `None` if it is not for signatures or of a kind that nobody uses here.
    fn from_jwk(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk[name].as_str();
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
        if text("use").is_some_and(|used| used != "sig") {
            return None;
        }
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => Material::Rsa { n: bytes("n")?, e: bytes("e")? },
            ("EC", Some("P-256")) => point(KeyKind::P256, &bytes("x")?, &bytes("y")?, 32)?,
            ("EC", Some("P-384")) => point(KeyKind::P384, &bytes("x")?, &bytes("y")?, 48)?,
            ("OKP", Some("Ed25519")) => {
                Material::Curve { kind: KeyKind::Ed25519, point: bytes("x")? }
            }
            _ => return None,
        };
        let algorithm = match text("alg") {
            Some(name) => Some(name.parse().ok()?),
            None => None,
        };
        Some(Self { id: text("kid").map(ToOwned::to_owned), algorithm, material })
    }

    fn kind(&self) -> KeyKind {
        match &self.material {
            Material::Rsa { .. } | Material::RsaDer(_) => KeyKind::Rsa,
            Material::Curve { kind, .. } => *kind,
            Material::Secret(_) => KeyKind::Secret,
        }
    }

    fn fits(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        self.kind() == algorithm.kind()
            && self.algorithm.is_none_or(|own| own == algorithm)
            && (id.is_none() || self.id.is_none() || self.id.as_deref() == id)
    }

    fn is_signature(&self, algorithm: Algorithm, message: &[u8], signed: &[u8]) -> bool {
        let checked = match &self.material {
            Material::Rsa { n, e } => algorithm.rsa().map(|parameters| {
                let key = signature::RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, signed)
            }),
            Material::RsaDer(key) => algorithm.rsa().map(|parameters| {
                signature::UnparsedPublicKey::new(parameters, key).verify(message, signed)
            }),
            Material::Curve { point, .. } => algorithm.curve().map(|curve| {
                signature::UnparsedPublicKey::new(curve, point).verify(message, signed)
            }),
            // In constant time.
            Material::Secret(secret) => algorithm
                .hmac()
                .map(|hash| hmac::verify(&hmac::Key::new(hash, secret), message, signed)),
        };
        checked.is_some_and(|checked| checked.is_ok())
    }
}

/// An uncompressed point.
fn point(kind: KeyKind, x: &[u8], y: &[u8], bytes: usize) -> Option<Material> {
    if x.len() != bytes || y.len() != bytes {
        return None;
    }
    Some(Material::Curve { kind, point: [&[4], x, y].concat() })
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

    pub(super) fn check(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        message: &[u8],
        signed: &[u8],
    ) -> Result<(), JoseError> {
        let mut fitting = self.0.iter().filter(|key| key.fits(algorithm, id)).peekable();
        if fitting.peek().is_none() {
            return Err(JoseError::UnknownKey);
        }
        if fitting.any(|key| key.is_signature(algorithm, message, signed)) {
            Ok(())
        } else {
            Err(JoseError::Signature)
        }
    }
}
