//! Proof Key for Code Exchange (RFC 7636), S256 only.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Characters of a code verifier.
const VERIFIER_LENGTH: std::ops::RangeInclusive<usize> = 43..=128;

/// What a client shows before it gets a code: the hash of what it will show to redeem it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge(pub(crate) [u8; 32]);

impl Challenge {
    /// Pure. `None` if the text is not the unpadded URL-safe base64 of 32 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Pure. Whether the verifier belongs to this challenge.
    pub(crate) fn fits(self, verifier: &str) -> bool {
        let is_unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        VERIFIER_LENGTH.contains(&verifier.len())
            && verifier.bytes().all(is_unreserved)
            // Hashes are compared, so that the time taken says nothing about the verifier.
            && <[u8; 32]>::from(Sha256::digest(verifier.as_bytes())) == self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc_fits() {
        let challenge = Challenge::parse(CHALLENGE).expect("it is well-formed");
        assert!(challenge.fits(VERIFIER));
    }

    #[test]
    fn another_verifier_does_not_fit() {
        let challenge = Challenge::parse(CHALLENGE).expect("it is well-formed");
        let changed = VERIFIER.replace('d', "e");
        for bad in ["", "short", &changed, CHALLENGE, &VERIFIER[..42]] {
            assert!(!challenge.fits(bad), "{bad}");
        }
    }

    #[test]
    fn verifiers_outside_of_the_grammar_are_refused_even_if_the_hash_fits() {
        let hash = |text: &str| Challenge(Sha256::digest(text.as_bytes()).into());
        for bad in ["a".repeat(42), "a".repeat(129), "ä".repeat(30), " ".repeat(50)] {
            assert!(!hash(&bad).fits(&bad), "{bad}");
        }
        let longest = "a".repeat(128);
        assert!(hash(&longest).fits(&longest));
    }

    #[test]
    fn what_is_no_hash_is_no_challenge() {
        let padded = format!("{CHALLENGE}=");
        let long = "A".repeat(44);
        for bad in ["", "plain", &padded, &CHALLENGE[..42], &long, "ä"] {
            assert_eq!(Challenge::parse(bad), None, "{bad}");
        }
    }
}
