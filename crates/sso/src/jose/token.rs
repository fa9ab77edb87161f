use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use super::{Algorithm, Claims, JoseError, Keys};

/// Bytes of a token that is looked at.
const TOKEN_BYTES_MAX: usize = 32 * 1024;

/// A signed token as it came. Nothing in it is believed.
#[derive(Debug)]
pub(crate) struct Token {
    header: Header,
    /// What is signed: header and claims as they came.
    message: String,
    signature: Vec<u8>,
    claims: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// Extensions that must be understood (RFC 7515, section 4.1.11): none are.
    crit: Option<Value>,
}

impl Token {
    /// Pure. Read the compact form.
    ///
    /// # Errors
    /// It has another form.
    pub fn parse(text: &str) -> Result<Self, JoseError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(JoseError::Malformed("it is too long"));
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(JoseError::Malformed("it does not have three parts"));
        };
        let decode = |part: &str| {
            URL_SAFE_NO_PAD.decode(part).map_err(|_| JoseError::Malformed("it is not base64url"))
        };
        let message = format!("{header}.{claims}");
        let header: Header = serde_json::from_slice(&decode(header)?)
            .map_err(|_| JoseError::Malformed("its header is not what it should be"))?;
        if header.crit.is_some() {
            return Err(JoseError::Malformed("it needs an extension that is not known"));
        }
        Ok(Self { header, message, signature: decode(signature)?, claims: decode(claims)? })
    }

    /// What the token says it is.
    pub fn kind(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// Pure. What stands in it, if one of the keys signed it with one of the algorithms; also which
    /// one.
    ///
    /// # Errors
    /// Algorithm, key or signature are wrong, or the claims are no JSON object.
    pub fn verify(
        &self,
        keys: &Keys,
        allowed: &[Algorithm],
    ) -> Result<(Claims, Algorithm), JoseError> {
        let algorithm: Algorithm = self.header.alg.parse()?;
        if !allowed.contains(&algorithm) {
            return Err(JoseError::Algorithm);
        }
        let id = self.header.kid.as_deref();
        keys.check(algorithm, id, self.message.as_bytes(), &self.signature)?;
        let claims = serde_json::from_slice(&self.claims)
            .map_err(|_| JoseError::Malformed("its claims are no JSON object"))?;
        Ok((claims, algorithm))
    }
}
