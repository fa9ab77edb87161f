//! What a client says about itself (spec: client-server API, "Client registration"; RFC 7591).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::{OAuthError, redirect};

/// Bytes of each URI.
const URI_BYTES_MAX: usize = 2_000;
/// Characters of a name.
const NAME_LENGTH_MAX: usize = 100;
/// Redirect URIs of one client.
const REDIRECT_URIS_MAX: usize = 10;
/// Values of a list that clients may fill with what this server does not know.
const VALUES_MAX: usize = 100;
/// Bytes of the hash that is a client's id: enough that nobody finds two clients with one.
const CLIENT_ID_BYTES: usize = 24;

pub(crate) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Where a client runs. Stored: only append variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApplicationKind {
    /// In a browser.
    Web,
    /// As a program on a device.
    Native,
}

/// A client as it is registered. All clients are public: they have no secret. Stored: only append
/// fields, with a new format number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMetadata {
    pub name: Option<String>,
    /// A page about the client; all other URIs are on its host or below.
    pub uri: String,
    pub logo_uri: Option<String>,
    pub tos_uri: Option<String>,
    pub policy_uri: Option<String>,
    /// Empty: the client can only use the device grant.
    pub redirect_uris: Vec<String>,
    pub kind: ApplicationKind,
    /// Whether it may use the device grant.
    pub device_grant: bool,
}

impl ClientMetadata {
    /// Pure. What of a registration is registered; the rest is ignored.
    ///
    /// # Errors
    /// [`OAuthError::InvalidRedirectUri`] or [`OAuthError::InvalidClientMetadata`].
    pub fn parse(json: &Map<String, Value>) -> Result<Self, OAuthError> {
        let uri = text(json, "client_uri")?
            .ok_or(OAuthError::InvalidClientMetadata("client_uri is missing"))?;
        let base = https(uri)?;
        let below = |field| -> Result<Option<String>, OAuthError> {
            let Some(uri) = text(json, field)? else { return Ok(None) };
            if redirect::has_base(&https(uri)?, &base) {
                Ok(Some(uri.to_owned()))
            } else {
                Err(OAuthError::InvalidClientMetadata(
                    "logo_uri, tos_uri and policy_uri must be on the host of client_uri or below it",
                ))
            }
        };
        let kind = match text(json, "application_type")? {
            None | Some("web") => ApplicationKind::Web,
            Some("native") => ApplicationKind::Native,
            Some(_) => {
                let why = "application_type must be web or native";
                return Err(OAuthError::InvalidClientMetadata(why));
            }
        };
        if text(json, "token_endpoint_auth_method")?.is_some_and(|method| method != "none") {
            let why = "token_endpoint_auth_method must be none: clients have no secret here";
            return Err(OAuthError::InvalidClientMetadata(why));
        }
        let grants = list(json, "grant_types")?.unwrap_or_else(|| vec!["authorization_code"]);
        let redirect_uris = if grants.contains(&"authorization_code") {
            redirect_uris(json, kind, &base)?
        } else {
            Vec::new()
        };
        let device_grant = grants.contains(&DEVICE_CODE);
        if redirect_uris.is_empty() && !device_grant {
            let why = "grant_types must have authorization_code or the device code";
            return Err(OAuthError::InvalidClientMetadata(why));
        }
        Ok(Self {
            name: text(json, "client_name")?.and_then(clean_name),
            uri: uri.to_owned(),
            logo_uri: below("logo_uri")?,
            tos_uri: below("tos_uri")?,
            policy_uri: below("policy_uri")?,
            redirect_uris,
            kind,
            device_grant,
        })
    }

    /// Pure. The registered metadata as the client is told.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        let mut put = |name: &str, value: Value| json.insert(name.to_owned(), value);
        put("client_uri", self.uri.as_str().into());
        for (field, value) in [
            ("client_name", &self.name),
            ("logo_uri", &self.logo_uri),
            ("tos_uri", &self.tos_uri),
            ("policy_uri", &self.policy_uri),
        ] {
            if let Some(value) = value {
                put(field, value.as_str().into());
            }
        }
        let mut grants = vec!["refresh_token"];
        if self.device_grant {
            grants.insert(0, DEVICE_CODE);
        }
        if !self.redirect_uris.is_empty() {
            grants.insert(0, "authorization_code");
            put("redirect_uris", json!(self.redirect_uris));
            put("response_types", json!(["code"]));
        }
        put("grant_types", json!(grants));
        put("token_endpoint_auth_method", "none".into());
        let kind = match self.kind {
            ApplicationKind::Web => "web",
            ApplicationKind::Native => "native",
        };
        put("application_type", kind.into());
        json
    }

    /// Pure. The id of a client with this metadata: the same metadata always gives the same.
    pub fn client_id(&self) -> String {
        let bytes = serde_json::to_vec(self).expect("metadata is plain data");
        URL_SAFE_NO_PAD.encode(&Sha256::digest(bytes)[..CLIENT_ID_BYTES])
    }

    /// Pure. What people are shown: the name the client gives itself, or else its host.
    pub fn display_name(&self) -> String {
        let host = || Url::parse(&self.uri).ok()?.host_str().map(ToOwned::to_owned);
        self.name.clone().or_else(host).unwrap_or_else(|| self.uri.clone())
    }

    /// Pure. Whether the client may be sent back there.
    pub fn allows_redirect(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|known| redirect::allows(known, self.kind, uri))
    }
}

fn text<'j>(json: &'j Map<String, Value>, field: &str) -> Result<Option<&'j str>, OAuthError> {
    match json.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(OAuthError::InvalidClientMetadata("a field that must be text is not")),
    }
}

fn list<'j>(json: &'j Map<String, Value>, field: &str) -> Result<Option<Vec<&'j str>>, OAuthError> {
    let why = OAuthError::InvalidClientMetadata("a field that must be a short list of text is not");
    match json.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(values)) if values.len() <= VALUES_MAX => {
            values.iter().map(Value::as_str).collect::<Option<_>>().map(Some).ok_or(why)
        }
        Some(_) => Err(why),
    }
}

fn https(uri: &str) -> Result<Url, OAuthError> {
    let refused = |why| Err(OAuthError::InvalidClientMetadata(why));
    if uri.len() > URI_BYTES_MAX || uri.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return refused("a URI is too long or has characters that must be escaped");
    }
    let Ok(parsed) = Url::parse(uri) else { return refused("a URI is not absolute") };
    if parsed.scheme() != "https" {
        return refused("client_uri, logo_uri, tos_uri and policy_uri must use https");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return refused("a URI must not have a user or password");
    }
    Ok(parsed)
}

fn redirect_uris(
    json: &Map<String, Value>,
    kind: ApplicationKind,
    base: &Url,
) -> Result<Vec<String>, OAuthError> {
    let types = list(json, "response_types")?.unwrap_or_else(|| vec!["code"]);
    if !types.contains(&"code") {
        return Err(OAuthError::InvalidClientMetadata("response_types must have code"));
    }
    let listed = list(json, "redirect_uris")
        .map_err(|_| OAuthError::InvalidRedirectUri("redirect_uris must be a list of text"))?;
    let mut uris: Vec<String> = Vec::new();
    for uri in listed.unwrap_or_default() {
        redirect::check(uri, kind, base).map_err(OAuthError::InvalidRedirectUri)?;
        if !uris.iter().any(|known| known == uri) {
            uris.push(uri.to_owned());
        }
    }
    if uris.is_empty() {
        return Err(OAuthError::InvalidRedirectUri("at least one redirect URI is needed"));
    }
    if uris.len() > REDIRECT_URIS_MAX {
        return Err(OAuthError::InvalidRedirectUri("there are too many redirect URIs"));
    }
    Ok(uris)
}

/// Names are shown to people who decide by them: nothing in them may change how the text around
/// them reads.
fn clean_name(name: &str) -> Option<String> {
    let is_trick = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let name: String = name.chars().filter(|c| !is_trick(*c)).take(NAME_LENGTH_MAX).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &Value) -> Result<ClientMetadata, OAuthError> {
        ClientMetadata::parse(json.as_object().expect("an object"))
    }

    fn element() -> Value {
        json!({
            "client_name": "Element",
            "client_uri": "https://app.element.io/",
            "logo_uri": "https://app.element.io/logo.png",
            "redirect_uris": ["https://app.element.io/?no_universal_links=true"],
            "token_endpoint_auth_method": "none",
            "response_types": ["code"],
            "grant_types": ["authorization_code", "refresh_token", "foo", DEVICE_CODE],
            "application_type": "web",
            "client_name#fr": "Élément",
        })
    }

    #[test]
    fn what_is_registered_is_answered_and_the_rest_is_not() {
        let client = parse(&element()).expect("it is valid");
        let mut wanted = element();
        wanted["grant_types"] = json!(["authorization_code", DEVICE_CODE, "refresh_token"]);
        wanted.as_object_mut().expect("an object").remove("client_name#fr");
        assert_eq!(Value::Object(client.to_json()), wanted);
    }

    #[test]
    fn the_same_metadata_gives_the_same_id() {
        let client = parse(&element()).expect("it is valid");
        let again = parse(&Value::Object(client.to_json())).expect("what was answered is valid");
        assert_eq!(client.client_id(), again.client_id());
        let mut other = element();
        other["client_name"] = "Other".into();
        assert_ne!(parse(&other).expect("it is valid").client_id(), client.client_id());
        assert_eq!(client.client_id().len(), 32);
    }

    #[test]
    fn element_x_may_register() {
        let client = parse(&json!({
            "application_type": "native",
            "client_name": "Element X",
            "client_uri": "https://element.io",
            "policy_uri": "https://element.io/privacy",
            "tos_uri": "https://element.io/acceptable-use-policy-terms",
            "redirect_uris": ["io.element.android:/", "https://element.io/oidc/login"],
            "response_types": ["code"],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        }))
        .expect("it is valid");
        assert!(client.allows_redirect("io.element.android:/"));
        assert!(!client.allows_redirect("io.element.android:/x"));
        assert!(!client.device_grant);
    }

    #[test]
    fn a_client_without_a_browser_needs_no_redirect_uri() {
        let client = parse(&json!({
            "client_uri": "https://tool.example.com/",
            "application_type": "native",
            "grant_types": [DEVICE_CODE, "refresh_token"],
        }))
        .expect("it is valid");
        assert!(client.device_grant && client.redirect_uris.is_empty());
        assert_eq!(client.display_name(), "tool.example.com");
        assert!(!client.allows_redirect(""));
    }

    fn with(field: &str, value: Value) -> Result<ClientMetadata, OAuthError> {
        let mut json = element();
        json[field] = value;
        parse(&json)
    }

    #[test]
    fn bad_metadata_is_refused() {
        for (field, value) in [
            ("client_uri", Value::Null),
            ("client_uri", json!("")),
            ("client_uri", json!(5)),
            ("client_uri", json!("http://app.element.io/")),
            ("client_uri", json!("https://user@app.element.io/")),
            ("client_uri", json!("https://")),
            ("client_uri", json!(format!("https://app.element.io/{}", "a".repeat(2_000)))),
            ("logo_uri", json!("https://evil.example.org/logo.png")),
            ("logo_uri", json!("http://app.element.io/logo.png")),
            ("policy_uri", json!("https://element.io/privacy")),
            ("tos_uri", json!("javascript:alert(1)")),
            ("application_type", json!("other")),
            ("token_endpoint_auth_method", json!("client_secret_basic")),
            ("response_types", json!(["token"])),
            ("response_types", json!("code")),
            ("grant_types", json!(["implicit"])),
            ("grant_types", json!([1])),
            ("grant_types", vec!["x"; 200].into()),
            ("client_name", json!({})),
        ] {
            let refused = with(field, value.clone());
            let is_refused = matches!(refused, Err(OAuthError::InvalidClientMetadata(_)));
            assert!(is_refused, "{field} {value}: {refused:?}");
        }
    }

    #[test]
    fn bad_redirect_uris_are_refused() {
        let many: Vec<_> = (0..11).map(|n| format!("https://app.element.io/{n}")).collect();
        for value in [
            Value::Null,
            json!([]),
            json!("https://app.element.io/"),
            json!([1]),
            json!(["https://evil.example.org/"]),
            json!(["https://app.element.io/", "http://app.element.io/"]),
            json!(many),
        ] {
            let refused = with("redirect_uris", value.clone());
            let is_refused = matches!(refused, Err(OAuthError::InvalidRedirectUri(_)));
            assert!(is_refused, "{value}: {refused:?}");
        }
    }

    #[test]
    fn names_cannot_turn_the_text_around_them() {
        let named = |name: &str| with("client_name", name.into()).expect("it is valid").name;
        assert_eq!(named("\u{202e}tnemelE\n\u{200b}").as_deref(), Some("tnemelE"));
        assert_eq!(named(" \u{feff} "), None);
        assert_eq!(named(&"ä".repeat(500)).map(|name| name.chars().count()), Some(100));
    }
}
