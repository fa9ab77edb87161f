//! What a client asks a person for at the authorization endpoint (spec: client-server API,
//! "Authorisation code flow"; RFC 6749, section 4.1).

use std::collections::BTreeMap;

use url::form_urlencoded::Serializer;

use super::{Challenge, Client, OAuthError, OAuthScope};
use crate::{Accounts, AccountsError};

/// Bytes of `state`, which is handed back.
const STATE_BYTES_MAX: usize = 4_000;
/// Bytes of `login_hint`.
const HINT_BYTES_MAX: usize = 300;

/// Where the answer stands in the address the browser is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    Query,
    Fragment,
}

/// Where a client waits for its answer. Made only for an address that it registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnAddress {
    redirect_uri: String,
    mode: ResponseMode,
    state: Option<String>,
}

impl ReturnAddress {
    /// The address without the answer.
    pub fn uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Pure. The address with an answer. The registered text stays as it is.
    pub fn with(&self, answer: &[(&str, &str)]) -> String {
        let mut parameters = Serializer::new(String::new());
        parameters.extend_pairs(answer);
        if let Some(state) = &self.state {
            parameters.append_pair("state", state);
        }
        let separator = match self.mode {
            ResponseMode::Fragment => "#",
            ResponseMode::Query if !self.redirect_uri.contains('?') => "?",
            ResponseMode::Query if self.redirect_uri.ends_with(['?', '&']) => "",
            ResponseMode::Query => "&",
        };
        format!("{}{separator}{}", self.redirect_uri, parameters.finish())
    }
}

/// A request that a person can be asked about.
#[derive(Clone, Debug)]
pub struct AuthorizationRequest {
    pub client: Client,
    pub back: ReturnAddress,
    pub scope: OAuthScope,
    pub challenge: Challenge,
    /// The person wants a new account (`prompt=create`).
    pub wants_account: bool,
    /// Who will sign in, as the client thinks.
    pub login_hint: Option<String>,
}

/// A request that nobody is asked about.
#[derive(Debug)]
pub enum RefusedRequest {
    /// The person is told; the browser must not be sent anywhere, because where is not certain
    /// (RFC 6749, section 4.1.2.1).
    Here(&'static str),
    /// The client is told. Anybody can register a client, so the browser goes there by itself only
    /// if `has_users` says that somebody here has let the client in (RFC 9700, section 4.11.2).
    Back { to: ReturnAddress, has_users: bool, error: &'static str, description: &'static str },
    /// It could not be looked at.
    Failed(AccountsError),
}

impl Accounts {
    /// Look at the parameters of an authorization request, none of which was there twice.
    ///
    /// # Errors
    /// See [`RefusedRequest`].
    pub async fn authorization_request(
        &self,
        parameters: &BTreeMap<String, String>,
    ) -> Result<AuthorizationRequest, RefusedRequest> {
        let given = |name: &str| parameters.get(name).map(String::as_str).filter(|v| !v.is_empty());
        let client_id = given("client_id").ok_or(RefusedRequest::Here("client_id is missing"))?;
        let client = match self.oauth_client(client_id).await {
            Ok(client) => client.ok_or(RefusedRequest::Here("the client is not registered"))?,
            Err(error) => return Err(RefusedRequest::Failed(error)),
        };
        let redirect_uri =
            given("redirect_uri").ok_or(RefusedRequest::Here("redirect_uri is missing"))?;
        if !client.metadata.allows_redirect(redirect_uri) {
            return Err(RefusedRequest::Here("redirect_uri is not one of the client's"));
        }
        let asked = check(given, redirect_uri).map_err(|wrong| RefusedRequest::Back {
            to: wrong.back,
            has_users: client.has_users,
            error: wrong.error,
            description: wrong.description,
        })?;
        Ok(AuthorizationRequest {
            client,
            back: asked.back,
            scope: asked.scope,
            challenge: asked.challenge,
            wants_account: given("prompt")
                .is_some_and(|prompt| words(prompt).any(|w| w == "create")),
            login_hint: given("login_hint")
                .filter(|hint| hint.len() <= HINT_BYTES_MAX)
                .map(ToOwned::to_owned),
        })
    }
}

#[derive(Debug)]
struct Asked {
    back: ReturnAddress,
    scope: OAuthScope,
    challenge: Challenge,
}

#[derive(Debug)]
struct Wrong {
    back: ReturnAddress,
    error: &'static str,
    description: &'static str,
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ')
}

/// What is told to the client if it is wrong.
fn check<'p>(given: impl Fn(&str) -> Option<&'p str>, redirect_uri: &str) -> Result<Asked, Wrong> {
    let state = given("state").map(ToOwned::to_owned);
    let state_fits = state.as_ref().is_none_or(|state| state.len() <= STATE_BYTES_MAX);
    let mode = match given("response_mode") {
        None | Some("query") => Some(ResponseMode::Query),
        Some("fragment") => Some(ResponseMode::Fragment),
        Some(_) => None,
    };
    let back = ReturnAddress {
        redirect_uri: redirect_uri.to_owned(),
        mode: mode.unwrap_or(ResponseMode::Query),
        state: state.filter(|_| state_fits),
    };
    let refuse = |error, description| Err(Wrong { back: back.clone(), error, description });
    if !state_fits {
        return refuse("invalid_request", "state is too long");
    }
    if mode.is_none() {
        return refuse("invalid_request", "response_mode must be query or fragment");
    }
    match given("response_type") {
        None => return refuse("invalid_request", "response_type is missing"),
        Some("code") => {}
        Some(_) => return refuse("unsupported_response_type", "response_type must be code"),
    }
    if given("request").is_some() {
        return refuse("request_not_supported", "request objects are not supported");
    }
    if given("request_uri").is_some() {
        return refuse("request_uri_not_supported", "request objects are not supported");
    }
    if given("code_challenge_method") != Some("S256") {
        return refuse("invalid_request", "code_challenge_method must be S256");
    }
    let Some(challenge) = given("code_challenge").and_then(Challenge::parse) else {
        return refuse("invalid_request", "code_challenge must be the hash of a code verifier");
    };
    let scope = match OAuthScope::parse(given("scope").unwrap_or_default()) {
        Ok(scope) => scope,
        Err(OAuthError::InvalidScope(why)) => return refuse("invalid_scope", why),
        Err(_) => return refuse("invalid_scope", "the scope cannot be granted"),
    };
    if given("prompt").is_some_and(|prompt| words(prompt).any(|word| word == "none")) {
        return refuse("interaction_required", "the user is always asked");
    }
    Ok(Asked { back, scope, challenge })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: &str = "urn:matrix:client:api:* urn:matrix:client:device:D";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn asked(changes: &[(&str, Option<&str>)]) -> Result<Asked, Wrong> {
        let mut all = BTreeMap::from([
            ("response_type", "code"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("scope", SCOPE),
            ("state", "a b&c"),
        ]);
        for (name, value) in changes {
            match value {
                Some(value) => all.insert(*name, *value),
                None => all.remove(*name),
            };
        }
        check(|name| all.get(name).copied(), "https://example.com/?x=1")
    }

    fn error_of(changes: &[(&str, Option<&str>)]) -> Option<String> {
        let wrong = asked(changes).err()?;
        Some(wrong.back.with(&[("error", wrong.error)]))
    }

    #[test]
    fn the_answer_is_added_to_what_was_registered() {
        let back = |uri: &str, mode| ReturnAddress {
            redirect_uri: uri.to_owned(),
            mode,
            state: Some("s&t".to_owned()),
        };
        let answer = [("code", "c d")];
        let query = |uri| back(uri, ResponseMode::Query).with(&answer);
        assert_eq!(query("https://a/b"), "https://a/b?code=c+d&state=s%26t");
        assert_eq!(query("https://a/?x=1"), "https://a/?x=1&code=c+d&state=s%26t");
        assert_eq!(query("com.example:/"), "com.example:/?code=c+d&state=s%26t");
        let fragment = back("https://a/?x=1", ResponseMode::Fragment).with(&answer);
        assert_eq!(fragment, "https://a/?x=1#code=c+d&state=s%26t");
    }

    #[test]
    fn a_whole_request_is_accepted() {
        for mode in [None, Some("query"), Some("fragment")] {
            assert!(asked(&[("response_mode", mode)]).is_ok());
        }
        assert!(asked(&[("state", None)]).is_ok());
    }

    #[test]
    fn errors_go_back_in_the_way_that_was_asked_for_and_with_the_state() {
        let fragment = ("response_mode", Some("fragment"));
        let error = error_of(&[fragment, ("scope", None)]).expect("it is refused");
        assert_eq!(error, "https://example.com/?x=1#error=invalid_scope&state=a+b%26c");
        let error = error_of(&[("response_mode", Some("form_post"))]).expect("it is refused");
        assert_eq!(error, "https://example.com/?x=1&error=invalid_request&state=a+b%26c");
    }

    #[test]
    fn each_mistake_has_its_code() {
        let long = "a".repeat(5_000);
        for (name, value, code) in [
            ("response_type", None, "invalid_request"),
            ("response_type", Some("token"), "unsupported_response_type"),
            ("response_type", Some("code token"), "unsupported_response_type"),
            ("code_challenge", None, "invalid_request"),
            ("code_challenge", Some("short"), "invalid_request"),
            ("code_challenge_method", None, "invalid_request"),
            ("code_challenge_method", Some("plain"), "invalid_request"),
            ("scope", None, "invalid_scope"),
            ("scope", Some("openid"), "invalid_scope"),
            ("state", Some(long.as_str()), "invalid_request"),
            ("prompt", Some("none"), "interaction_required"),
            ("request", Some("x"), "request_not_supported"),
            ("request_uri", Some("https://x/"), "request_uri_not_supported"),
        ] {
            let error = error_of(&[(name, value)]).expect(name);
            assert!(error.contains(&format!("error={code}")), "{name} {error}");
        }
    }
}
