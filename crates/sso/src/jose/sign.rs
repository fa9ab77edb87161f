use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{rand::SystemRandom, signature};
use serde_json::{Value, json};

use super::{Algorithm, JoseError, der};

/// A private key of ours, with which we say to a provider who we are (`private_key_jwt`).
#[derive(Clone)]
pub struct SigningKey {
    material: Arc<Material>,
    id: Option<String>,
}

enum Material {
    Rsa(signature::RsaKeyPair),
    P256(signature::EcdsaKeyPair),
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
        let missing = JoseError::Key("there is no PEM block \"PRIVATE KEY\"");
        Self::from_pkcs8(&der::pem(text, "PRIVATE KEY").ok_or(missing)?, id)
    }

    /// As [`Self::from_pem`], from DER.
    ///
    /// # Errors
    /// It is neither.
    pub fn from_pkcs8(der: &[u8], id: Option<String>) -> Result<Self, JoseError> {
        let curve = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let material = match signature::EcdsaKeyPair::from_pkcs8(curve, der, &SystemRandom::new()) {
            Ok(pair) => Material::P256(pair),
            Err(_) => match signature::RsaKeyPair::from_pkcs8(der) {
                Ok(pair) => Material::Rsa(pair),
                Err(_) => return Err(JoseError::Key("it is neither RSA nor P-256 in PKCS#8")),
            },
        };
        Ok(Self { material: Arc::new(material), id })
    }

    /// With which algorithm it signs.
    pub fn algorithm(&self) -> Algorithm {
        match &*self.material {
            Material::Rsa(_) => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
        }
    }

    /// Sign claims; `kind` is the header's `typ`. Answers the compact form.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn sign(&self, kind: &str, claims: &Value) -> Result<String, JoseError> {
        let mut header = json!({ "alg": self.algorithm().name(), "typ": kind });
        if let Some(id) = &self.id {
            header["kid"] = id.as_str().into();
        }
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encoded(&header), encoded(claims));
        let random = SystemRandom::new();
        let signed = match &*self.material {
            Material::P256(pair) => {
                pair.sign(&random, message.as_bytes()).map(|s| s.as_ref().to_vec())
            }
            Material::Rsa(pair) => {
                let mut signed = vec![0; pair.public().modulus_len()];
                let padding = &signature::RSA_PKCS1_SHA256;
                pair.sign(padding, &random, message.as_bytes(), &mut signed).map(|()| signed)
            }
        };
        let signed = signed.map_err(|_| JoseError::Key("it cannot sign"))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signed)))
    }
}
