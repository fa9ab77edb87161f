use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, errors::ErrorKind};

use super::{Claims, JoseError, Keys, ring_provider};

/// Bytes of a token that is looked at.
const TOKEN_BYTES_MAX: usize = 32 * 1024;

/// A signed token as it came. Nothing in it is believed.
#[derive(Debug)]
pub(crate) struct Token {
    text: String,
    header: Header,
}

impl Token {
    /// Pure. Read the compact form.
    ///
    /// # Errors
    /// It has another form, or names an algorithm that nobody knows (`none` among them).
    pub fn parse(text: &str) -> Result<Self, JoseError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(JoseError::Malformed("it is too long"));
        }
        let header = decode_header(text).map_err(|error| {
            JoseError::Malformed(match error.kind() {
                ErrorKind::InvalidToken => "it does not have three parts",
                ErrorKind::Base64(_) => "it is not base64url",
                _ => "its header is not what it should be",
            })
        })?;
        // Extensions that must be understood (RFC 7515, section 4.1.11): none are.
        if header.crit.is_some() {
            return Err(JoseError::Malformed("it needs an extension that is not known"));
        }
        Ok(Self { text: text.to_owned(), header })
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
        ring_provider::install();
        let algorithm = self.header.alg;
        if !allowed.contains(&algorithm) {
            return Err(JoseError::Algorithm);
        }
        let mut refused = JoseError::UnknownKey;
        for key in keys.fitting(algorithm, self.header.kid.as_deref()) {
            match decode::<Claims>(&self.text, key, &only_signature(algorithm)) {
                Ok(token) => return Ok((token.claims, algorithm)),
                Err(error) => {
                    refused = match error.kind() {
                        ErrorKind::Base64(_) => JoseError::Malformed("it is not base64url"),
                        ErrorKind::Json(_) => JoseError::Malformed("its claims are no JSON object"),
                        _ => JoseError::Signature,
                    }
                }
            }
        }
        Err(refused)
    }
}

/// The library looks at the system's clock and takes a list of issuers: what must stand in a token
/// is checked in `id_token`, `logout` and `jwt`, each for its kind, with the server's clock.
fn only_signature(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}
