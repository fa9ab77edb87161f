//! What `jsonwebtoken` asks of a cryptography, answered by ring, which TLS uses anyway: its own
//! choices bring another C library, or the `rsa` crate with its leaking timing.

use std::sync::Once;

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result, new_error},
    signature::{Error, Signer, Verifier},
};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, RsaKeyPair, UnparsedPublicKey},
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // For thumbprints and for JWKs of our own keys: neither is made here.
    key_utils: KeyUtils::new_unimplemented(),
};

/// To be called before anything of `jsonwebtoken` that signs or verifies.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    // Refused only if one is there already, and nobody else in this program has one.
    INSTALLED.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() {
        return Err(new_error(ErrorKind::InvalidKeyFormat));
    }
    Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() }))
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> std::result::Result<(), Error> {
        let checked = match (self.key.kind(), hash(self.algorithm), rsa(self.algorithm)) {
            (DecodingKeyKind::RsaModulusExponent { n, e }, _, Some(parameters)) => {
                signature::RsaPublicKeyComponents { n, e }.verify(parameters, message, signed)
            }
            // In constant time.
            (DecodingKeyKind::SecretOrDer(secret), Some(hash), _) => {
                hmac::verify(&hmac::Key::new(hash, secret), message, signed)
            }
            (DecodingKeyKind::SecretOrDer(key), None, Some(parameters)) => {
                UnparsedPublicKey::new(parameters, key).verify(message, signed)
            }
            (DecodingKeyKind::SecretOrDer(point), None, None) => match curve(self.algorithm) {
                Some(curve) => UnparsedPublicKey::new(curve, point).verify(message, signed),
                None => return Err(Error::new()),
            },
            (DecodingKeyKind::RsaModulusExponent { .. }, _, None) => return Err(Error::new()),
        };
        checked.map_err(|_| Error::new())
    }
}

fn hash(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    Some(match algorithm {
        Algorithm::HS256 => hmac::HMAC_SHA256,
        Algorithm::HS384 => hmac::HMAC_SHA384,
        Algorithm::HS512 => hmac::HMAC_SHA512,
        _ => return None,
    })
}

fn rsa(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn curve(algorithm: Algorithm) -> Option<&'static dyn signature::VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::ES256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDSA => &signature::ED25519,
        _ => return None,
    })
}

/// With what [`super::SigningKey`] signs, and nothing else.
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let der = key.as_bytes();
    match algorithm {
        Algorithm::RS256 => RsaKeyPair::from_der(der)
            .map(|pair| Box::new(RsaSigner(pair)) as Box<dyn JwtSigner>)
            .map_err(|error| new_error(ErrorKind::InvalidRsaKey(error.to_string()))),
        Algorithm::ES256 => {
            let curve = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
            EcdsaKeyPair::from_pkcs8(curve, der, &SystemRandom::new())
                .map(|pair| Box::new(P256Signer(pair)) as Box<dyn JwtSigner>)
                .map_err(|_| new_error(ErrorKind::InvalidEcdsaKey))
        }
        _ => Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    }
}

struct RsaSigner(RsaKeyPair);

impl JwtSigner for RsaSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

impl Signer<Vec<u8>> for RsaSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        let mut signed = vec![0; self.0.public().modulus_len()];
        let padding = &signature::RSA_PKCS1_SHA256;
        self.0
            .sign(padding, &SystemRandom::new(), message, &mut signed)
            .map_err(|_| Error::new())?;
        Ok(signed)
    }
}

struct P256Signer(EcdsaKeyPair);

impl JwtSigner for P256Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

impl Signer<Vec<u8>> for P256Signer {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        let signed = self.0.sign(&SystemRandom::new(), message).map_err(|_| Error::new())?;
        Ok(signed.as_ref().to_vec())
    }
}
