//! Just enough of PEM and DER to find the key in a `PUBLIC KEY` (RFC 5280, SubjectPublicKeyInfo).

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{JoseError, algorithm::KeyKind};

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const BIT_STRING: u8 = 0x03;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// The bytes between `-----BEGIN label-----` and its end.
pub(super) fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (inside, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let inside: String = inside.split_ascii_whitespace().collect();
    STANDARD.decode(inside).ok()
}

/// The kind of a SubjectPublicKeyInfo and the key in it: for RSA a PKCS#1 key, else a point.
pub(super) fn public_key(der: &[u8]) -> Result<(KeyKind, Vec<u8>), JoseError> {
    let bad = JoseError::Key("the PEM block holds no public key");
    read(der).ok_or(bad)
}

fn read(der: &[u8]) -> Option<(KeyKind, Vec<u8>)> {
    let (info, _) = take(der, SEQUENCE)?;
    let (algorithm, rest) = take(info, SEQUENCE)?;
    let (bits, _) = take(rest, BIT_STRING)?;
    let (kind, parameters) = take(algorithm, OBJECT_ID)?;
    let kind = match kind {
        RSA => KeyKind::Rsa,
        ED25519 => KeyKind::Ed25519,
        EC => match take(parameters, OBJECT_ID)?.0 {
            P256 => KeyKind::P256,
            P384 => KeyKind::P384,
            _ => return None,
        },
        _ => return None,
    };
    // The first byte says how many bits of the last one are not used.
    let (&unused, key) = bits.split_first()?;
    (unused == 0).then(|| (kind, key.to_vec()))
}

/// The content of a value of this kind, and what follows it.
fn take(der: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    if found != kind {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 2 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in [&[][..], &[0x30], &[0x30, 0x82, 0xff, 0xff], &[0x30, 0x80], &[0x30, 2, 5, 0]] {
            assert!(public_key(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            pem("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----", "PUBLIC KEY"),
            None
        );
        assert_eq!(pem("", "PUBLIC KEY"), None);
    }
}
