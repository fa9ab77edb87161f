//! What a client asks for (spec: client-server API, "Scope").

use std::collections::BTreeSet;

use ruma::OwnedDeviceId;

use super::OAuthError;

/// Bytes of a scope parameter.
const SCOPE_BYTES_MAX: usize = 2_000;
/// Bytes of a device id.
const DEVICE_ID_BYTES_MAX: usize = 255;

/// Full access, stable and as in MSC2967, which Element X still sends.
const API: [&str; 2] = ["urn:matrix:client:api:*", "urn:matrix:org.matrix.msc2967.client:api:*"];
/// A device, in the same forms.
const DEVICE: [&str; 2] =
    ["urn:matrix:client:device:", "urn:matrix:org.matrix.msc2967.client:device:"];

/// A scope that can be granted: full access for one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthScope {
    pub device_id: OwnedDeviceId,
    /// The granted tokens as they were asked for. What this server does not know is not among
    /// them, and so is not granted (RFC 6749, section 3.3).
    pub granted: String,
}

impl OAuthScope {
    /// Pure.
    ///
    /// # Errors
    /// Full access or the device is missing, there are two devices, or the device id cannot be.
    pub fn parse(text: &str) -> Result<Self, OAuthError> {
        let refused = |why| Err(OAuthError::InvalidScope(why));
        if text.len() > SCOPE_BYTES_MAX {
            return refused("the scope is too long");
        }
        let mut granted: Vec<&str> = Vec::new();
        let mut devices = BTreeSet::new();
        let mut has_api = false;
        for token in text.split(' ').filter(|token| !token.is_empty()) {
            let device = DEVICE.iter().find_map(|prefix| token.strip_prefix(prefix));
            if let Some(device) = device {
                devices.insert(device);
            } else if API.contains(&token) {
                has_api = true;
            } else {
                continue;
            }
            if !granted.contains(&token) {
                granted.push(token);
            }
        }
        if !has_api {
            return refused("the scope must have urn:matrix:client:api:*");
        }
        let device = devices.pop_first().filter(|_| devices.is_empty());
        let Some(device) = device else {
            return refused("the scope must have exactly one urn:matrix:client:device:<device_id>");
        };
        if device.is_empty() || device.len() > DEVICE_ID_BYTES_MAX || !device.bytes().all(is_scope)
        {
            return refused("the device id is not possible");
        }
        Ok(Self { device_id: device.into(), granted: granted.join(" ") })
    }
}

/// RFC 6749, section 3.3.
fn is_scope(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(text: &str) -> Option<(String, String)> {
        let scope = OAuthScope::parse(text).ok()?;
        Some((scope.device_id.to_string(), scope.granted))
    }

    #[test]
    fn stable_and_unstable_forms_are_granted_as_asked() {
        let stable = "urn:matrix:client:api:* urn:matrix:client:device:ABCDEFGHIJ";
        let unstable = "urn:matrix:org.matrix.msc2967.client:api:* \
                        urn:matrix:org.matrix.msc2967.client:device:ABCDEFGHIJ";
        for text in [stable, unstable, &format!("{stable} {unstable}")] {
            assert_eq!(granted(text), Some(("ABCDEFGHIJ".to_owned(), text.to_owned())));
        }
    }

    #[test]
    fn unknown_tokens_are_not_granted() {
        let text = "openid urn:matrix:client:api:* urn:synapse:admin:* \
                    urn:matrix:client:device:D urn:matrix:client:device:D";
        let wanted = "urn:matrix:client:api:* urn:matrix:client:device:D";
        assert_eq!(granted(text), Some(("D".to_owned(), wanted.to_owned())));
    }

    #[test]
    fn full_access_and_exactly_one_device_are_needed() {
        let long = format!("urn:matrix:client:api:* urn:matrix:client:device:{}", "a".repeat(256));
        let longer = "a ".repeat(2_000);
        for bad in [
            "",
            " ",
            "openid",
            "urn:matrix:client:api:*",
            "urn:matrix:client:device:D",
            "urn:matrix:client:api:read:* urn:matrix:client:device:D",
            "urn:matrix:client:api:* urn:matrix:client:device:",
            "urn:matrix:client:api:* urn:matrix:client:device:A urn:matrix:client:device:B",
            "urn:matrix:client:api:* urn:matrix:client:device:A\"B",
            "urn:matrix:client:api:* urn:matrix:client:device:A\\B",
            "urn:matrix:client:api:* urn:matrix:client:device:Ä",
            "urn:matrix:client:api:* urn:matrix:client:device:A\u{0}B",
            "urn:matrix:client:api:*\turn:matrix:client:device:A",
            &long,
            &longer,
        ] {
            assert!(matches!(OAuthScope::parse(bad), Err(OAuthError::InvalidScope(_))), "{bad}");
        }
    }
}
