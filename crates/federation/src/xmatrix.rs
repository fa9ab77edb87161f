//! Requests of other servers (spec: server-server API, "Request Authentication").

use http::{HeaderMap, Request, header};
use ruma::{
    OwnedServerName, OwnedServerSigningKeyId, SigningKeyAlgorithm,
    api::federation::authentication::XMatrix, serde::Base64,
};

use crate::{Federation, FederationError};

/// The scheme of the `Authorization` header.
const SCHEME: &str = "X-Matrix";
/// Parameters that are read; senders need four.
const PARAMETERS_MAX: usize = 16;
/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

impl Federation {
    /// Which server says that it sent a request with these headers, and whether we listen to it:
    /// a first look, before a body is read. [`Federation::verify_request`] believes nothing of it.
    ///
    /// # Errors
    /// [`FederationError::NotSigned`], [`FederationError::Denied`], [`FederationError::Off`].
    pub fn claimed_origin(&self, headers: &HeaderMap) -> Result<OwnedServerName, FederationError> {
        self.claim(headers).map(|claim| claim.origin)
    }

    /// Which server signed this request. The body is the whole body; it is empty or JSON.
    ///
    /// # Errors
    /// [`FederationError::NotSigned`] if there is no signature for us that holds,
    /// [`FederationError::Denied`] if that server may not speak with us.
    pub async fn verify_request<B: AsRef<[u8]>>(
        &self,
        request: &Request<B>,
    ) -> Result<OwnedServerName, FederationError> {
        let signed = self.claim(request.headers())?;
        let keys = self.request_keys(&signed.origin, &signed.key).await?;
        signed
            .verify_http_request(request, self.data().server_name(), &keys)
            .map_err(|error| FederationError::NotSigned(error.to_string()))?;
        self.heard_from(&signed.origin);
        Ok(signed.origin)
    }

    fn claim(&self, headers: &HeaderMap) -> Result<XMatrix, FederationError> {
        let claim = parse(headers).map_err(FederationError::NotSigned)?;
        let own = self.data().server_name();
        if claim.destination.as_deref().is_some_and(|destination| destination != own) {
            return Err(FederationError::NotSigned("it is for another server".into()));
        }
        if claim.origin == own {
            return Err(FederationError::NotSigned("it says that it comes from here".into()));
        }
        self.permits(&claim.origin)?;
        Ok(claim)
    }
}

/// The first `X-Matrix` of the headers. ruma's parser wants colons in quotes, which the
/// specification asks us to take without.
fn parse(headers: &HeaderMap) -> Result<XMatrix, String> {
    let values = headers.get_all(header::AUTHORIZATION).iter();
    let mut texts = values.filter_map(|value| value.to_str().ok());
    let parameters = texts.find_map(|text| {
        let (scheme, parameters) = text.trim_start().split_once(' ')?;
        scheme.eq_ignore_ascii_case(SCHEME).then_some(parameters)
    });
    let mut rest = parameters.ok_or("there is no X-Matrix in the Authorization header")?;
    let (mut origin, mut destination, mut key, mut sig) = (None, None, None, None);
    for _ in 0..PARAMETERS_MAX {
        let Some((name, value, left)) = parameter(rest)? else { break };
        rest = left;
        let slot = match name.to_ascii_lowercase().as_str() {
            "origin" => &mut origin,
            "destination" => &mut destination,
            "key" => &mut key,
            "sig" => &mut sig,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(format!("X-Matrix has two {name}"));
        }
    }
    let missing = |name: &str| format!("X-Matrix has no {name}");
    let bad = |error: &dyn std::fmt::Display| format!("X-Matrix: {error}");
    let server = |text: String| OwnedServerName::try_from(text).map_err(|error| bad(&error));
    let origin = server(origin.ok_or_else(|| missing("origin"))?)?;
    let key = key.ok_or_else(|| missing("key"))?.try_into();
    let key: OwnedServerSigningKeyId = key.map_err(|error: ruma::IdParseError| bad(&error))?;
    if key.algorithm() != SigningKeyAlgorithm::Ed25519 {
        return Err("X-Matrix: the key is of no kind that is known".into());
    }
    let sig = Base64::parse(sig.ok_or_else(|| missing("sig"))?).map_err(|error| bad(&error))?;
    if sig.as_bytes().len() != SIGNATURE_BYTES {
        return Err("X-Matrix: that is no signature".into());
    }
    let destination = destination.map(server).transpose()?;
    let mut parsed = XMatrix::new(origin.clone(), origin, key, sig);
    parsed.destination = destination;
    Ok(parsed)
}

/// `name=value` or `name="value"` at the beginning of a list, and what follows it.
fn parameter(list: &str) -> Result<Option<(&str, String, &str)>, String> {
    let list = list.trim_start_matches([' ', '\t', ',']);
    if list.is_empty() {
        return Ok(None);
    }
    let (name, rest) = list.split_once('=').ok_or("X-Matrix has a parameter without value")?;
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([',', ' ', '\t']).unwrap_or(rest.len());
        return Ok(Some((name.trim_end(), rest[..end].to_owned(), &rest[end..])));
    };
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, character) in quoted.char_indices() {
        match character {
            '\\' if !is_escaped => is_escaped = true,
            '"' if !is_escaped => {
                return Ok(Some((name.trim_end(), value, &quoted[at + 1..])));
            }
            _ => {
                value.push(character);
                is_escaped = false;
            }
        }
    }
    Err("X-Matrix has a quote without end".into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse_text(text: &str) -> Result<XMatrix, String> {
        let value = HeaderValue::from_str(text).expect("a header");
        parse(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
    }

    #[test]
    fn all_ways_to_write_it_are_understood() {
        for text in [
            r#"X-Matrix origin="a.example:8449",destination="b.example",key="ed25519:k1",sig="dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dA""#,
            r#"X-Matrix origin=a.example:8449,destination=b.example,key=ed25519:k1,sig=dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dA"#,
            "x-matrix   ORIGIN=\"a.example:8449\" , \t Destination=b.example , sig=\"dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dA\" ,key=\"ed\\25519:k\\1\",later=\"a,b=c\"",
            r#"X-Matrix origin="a.example:8449",key="ed25519:k1",destination="b.example",sig="dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dA==","#,
        ] {
            let parsed = parse_text(text).expect(text);
            assert_eq!(parsed.origin, "a.example:8449", "{text}");
            assert_eq!(parsed.destination.expect(text), "b.example", "{text}");
            assert_eq!(parsed.key, "ed25519:k1", "{text}");
            assert_eq!(parsed.sig.as_bytes(), [b't'; SIGNATURE_BYTES], "{text}");
        }
    }

    #[test]
    fn old_servers_name_no_destination() {
        let parsed = parse_text(
            "X-Matrix origin=a.example,key=ed25519:k1,sig=dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dA",
        );
        assert_eq!(parsed.expect("it is allowed").destination, None);
    }

    #[test]
    fn what_is_garbled_is_refused() {
        for text in [
            "",
            "X-Matrix",
            "X-Matrix ",
            "Bearer abc",
            "X-Matrix origin=a.example,key=ed25519:k1",
            "X-Matrix key=ed25519:k1,sig=dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dA",
            "X-Matrix origin=a.example,sig=dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dA",
            "X-Matrix origin=a.example,origin=b.example,key=ed25519:k1,sig=dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dA",
            "X-Matrix origin=\"a.example,key=ed25519:k1,sig=dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dA",
            "X-Matrix origin=a_b/c,key=ed25519:k1,sig=dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dA",
            "X-Matrix origin=a.example,key=k1,sig=dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dA",
            "X-Matrix origin=a.example,key=ed25519:k1,sig=$$$",
            "X-Matrix origin",
            "X-Matrix =,=,=",
        ] {
            assert!(parse_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn another_kind_of_authorization_does_not_hide_it() {
        let values = [
            "Bearer abc",
            "X-Matrix origin=a.example,key=ed25519:k1,sig=dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dA",
        ];
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        assert_eq!(parse(&headers).expect("it is there").origin, "a.example");
    }
}
