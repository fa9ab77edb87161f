//! A person goes to a provider and comes back (OpenID Connect Core 1.0, section 3.1: authorization
//! code; RFC 7636: PKCE; RFC 9700).

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::HeaderValue;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::{
    Purpose, Sso, SsoError,
    error::Refused,
    http::{get_json, post_form},
    id_token::{self, Expected},
    jose::{Claims, Token},
    pending::{PENDING_MS_MAX, Pending},
    provider::{Places, Upstream},
    session::SESSION_BYTES_MAX,
    settings::ClientAuth,
};

/// An assertion of who we are is good for so many seconds.
const ASSERTION_S: u64 = 60;
/// Bytes of a code or an error that is looked at.
const PARAMETER_BYTES_MAX: usize = 4 * 1024;
/// Characters of a provider's error that are shown.
const ERROR_LENGTH_MAX: usize = 60;

/// Where the browser goes now, and what it keeps meanwhile.
#[derive(Clone, Debug)]
pub struct Begun {
    pub url: String,
    /// A cookie for the address of [`Sso::callback_path`].
    pub cookie: String,
}

/// With what the browser comes back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Returned<'r> {
    pub code: Option<&'r str>,
    pub state: Option<&'r str>,
    pub error: Option<&'r str>,
    /// The issuer (RFC 9207).
    pub iss: Option<&'r str>,
    /// The cookie.
    pub cookie: Option<&'r str>,
}

/// Somebody was at a provider.
#[derive(Clone, Debug)]
pub struct Finished {
    pub identity: Identity,
    pub purpose: Purpose,
    /// Where the person wants to be.
    pub next: String,
}

/// Whom a provider vouches for.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) provider: String,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) session: Option<String>,
    pub(crate) claims: Claims,
}

impl Sso {
    /// The path to which a provider sends people back.
    pub fn callback_path(provider: &str) -> String {
        format!("/account/sso/{provider}/callback")
    }

    fn callback(&self, provider: &str) -> String {
        format!("{}{}", self.settings().base_url, Self::callback_path(provider))
    }

    /// Send somebody to a provider. `language`: in which its page should be.
    ///
    /// # Errors
    /// There is no such provider, or it cannot be reached.
    pub async fn begin(
        &self,
        provider: &str,
        purpose: Purpose,
        next: &str,
        language: &str,
    ) -> Result<Begun, SsoError> {
        let upstream = self.upstream(provider)?;
        let places = upstream.places().await?;
        let env = self.data().env();
        let pending = Pending {
            provider: provider.to_owned(),
            state: env.random_text::<24>(),
            nonce: env.random_text::<24>(),
            verifier: env.random_text::<32>(),
            started_ms: env.now_millis(),
            purpose,
            next: next.to_owned(),
        };
        let challenge = ring::digest::digest(&ring::digest::SHA256, pending.verifier.as_bytes());
        let settings = &upstream.settings;
        let scopes: Vec<&str> =
            std::iter::once("openid").chain(settings.scopes.iter().map(String::as_str)).collect();
        let mut url = places.authorization;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &settings.client_id)
            .append_pair("redirect_uri", &self.callback(provider))
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &pending.state)
            .append_pair("nonce", &pending.nonce)
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(challenge))
            .append_pair("code_challenge_method", "S256")
            .append_pair("ui_locales", language);
        if matches!(pending.purpose, Purpose::Prove { .. }) {
            url.query_pairs_mut().append_pair("prompt", "login").append_pair("max_age", "0");
        }
        Ok(Begun { url: url.into(), cookie: self.seal().close(&pending) })
    }

    /// Somebody comes back from a provider.
    ///
    /// # Errors
    /// The browser did not begin this, the provider says no or what it must not, the person may not
    /// come in, or something failed.
    pub async fn finish(
        &self,
        provider: &str,
        returned: Returned<'_>,
    ) -> Result<Finished, SsoError> {
        let upstream = self.upstream(provider)?;
        let pending = returned.cookie.and_then(|cookie| self.seal().open(cookie));
        let now = self.data().env().now_millis();
        let pending = pending
            .filter(|pending| {
                pending.provider == provider
                    && Some(pending.state.as_str()) == returned.state
                    && pending.started_ms.saturating_add(PENDING_MS_MAX) > now
            })
            .filter(|pending| self.is_first_use(&pending.state))
            .ok_or(SsoError::Stale)?;
        let places = upstream.places().await?;
        check_issuer(upstream, &places, returned.iss)?;
        if let Some(error) = returned.error {
            let shown = error.chars().filter(char::is_ascii_graphic).take(ERROR_LENGTH_MAX);
            return Err(SsoError::Denied(shown.collect()));
        }
        let code = returned.code.filter(|code| code.len() <= PARAMETER_BYTES_MAX);
        let code = code.ok_or_else(|| upstream.failed("it sends neither code nor error"))?;
        let answer = self.exchange(upstream, &places, code, &pending).await?;
        let identity = self.identity(upstream, &places, &answer, &pending).await?;
        let allow = upstream.settings.allow.as_ref();
        if !allow.is_none_or(|condition| condition.holds(&identity.claims)) {
            return Err(SsoError::NotAllowed);
        }
        Ok(Finished { identity, purpose: pending.purpose, next: pending.next })
    }

    /// The code for tokens.
    async fn exchange(
        &self,
        upstream: &Upstream,
        places: &Places,
        code: &str,
        pending: &Pending,
    ) -> Result<Value, SsoError> {
        let (form, authorization) = self.exchange_form(upstream, places, code, pending)?;
        let asked = post_form(upstream.outbound(), &places.token, form, authorization).await;
        let (status, answer) = asked.map_err(|why| upstream.failed(why))?;
        if !status.is_success() {
            let error = answer["error"].as_str().unwrap_or("no error code").to_owned();
            return Err(upstream.failed(format!("the token endpoint answers {status}: {error}")));
        }
        Ok(answer)
    }

    /// What is sent for it, and who we are.
    fn exchange_form(
        &self,
        upstream: &Upstream,
        places: &Places,
        code: &str,
        pending: &Pending,
    ) -> Result<(String, Option<HeaderValue>), SsoError> {
        let settings = &upstream.settings;
        let redirect_uri = self.callback(&settings.id);
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &redirect_uri)
            .append_pair("code_verifier", &pending.verifier);
        let mut authorization = None;
        match &settings.client_auth {
            ClientAuth::Basic(secret) => {
                authorization = Some(basic(&settings.client_id, secret.reveal()));
            }
            ClientAuth::None => {
                form.append_pair("client_id", &settings.client_id);
            }
            ClientAuth::Post(secret) => {
                form.append_pair("client_id", &settings.client_id)
                    .append_pair("client_secret", secret.reveal());
            }
            ClientAuth::PrivateKey(key) => {
                let assertion = key
                    .sign("JWT", &self.assertion(&settings.client_id, &places.token))
                    .map_err(|error| upstream.failed(format!("our key: {error}")))?;
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                form.append_pair("client_id", &settings.client_id)
                    .append_pair("client_assertion_type", kind)
                    .append_pair("client_assertion", &assertion);
            }
        }
        Ok((form.finish(), authorization))
    }

    /// Who we are (RFC 7523, section 3).
    fn assertion(&self, client_id: &str, audience: &str) -> Value {
        let env = self.data().env();
        let now = env.now_millis() / 1000;
        json!({
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": env.random_text::<18>(),
            "iat": now,
            "exp": now + ASSERTION_S,
        })
    }

    /// Whom the provider's answer vouches for.
    async fn identity(
        &self,
        upstream: &Upstream,
        places: &Places,
        answer: &Value,
        pending: &Pending,
    ) -> Result<Identity, SsoError> {
        let settings = &upstream.settings;
        let text = |name: &str| answer[name].as_str().unwrap_or_default();
        let failed = |why: String| upstream.failed(format!("ID token: {why}"));
        let token = Token::parse(text("id_token")).map_err(|error| failed(error.to_string()))?;
        let verified = upstream.verify(&token).await?;
        let (mut claims, algorithm) = verified.map_err(|error| failed(error.to_string()))?;
        let is_proof = matches!(pending.purpose, Purpose::Prove { .. });
        let expected = Expected {
            issuer: &settings.issuer,
            client_id: &settings.client_id,
            nonce: &pending.nonce,
            access_token: text("access_token"),
            algorithm,
            now_s: self.data().env().now_millis() / 1000,
            fresh_since_s: is_proof.then_some(pending.started_ms / 1000),
        };
        let subject = match id_token::check(&claims, &expected) {
            Ok(subject) => subject.to_owned(),
            Err(Refused::NotFresh) => return Err(SsoError::NotFresh),
            Err(error) => return Err(failed(error.to_string())),
        };
        if settings.userinfo {
            self.add_userinfo(upstream, places, text("access_token"), &subject, &mut claims)
                .await?;
        }
        Ok(Identity {
            provider: settings.id.clone(),
            issuer: settings.issuer.clone(),
            session: id_token::text(&claims, "sid")
                .filter(|sid| !sid.is_empty() && sid.len() <= SESSION_BYTES_MAX)
                .map(ToOwned::to_owned),
            subject,
            claims,
        })
    }

    /// Claims that stand only at the userinfo endpoint (OpenID Connect Core, section 5.3).
    async fn add_userinfo(
        &self,
        upstream: &Upstream,
        places: &Places,
        access_token: &str,
        subject: &str,
        claims: &mut Claims,
    ) -> Result<(), SsoError> {
        let Some(url) = &places.userinfo else {
            return Err(upstream.failed("it has no userinfo endpoint"));
        };
        let more = get_json(upstream.outbound(), url, Some(access_token)).await;
        let more = more.map_err(|why| upstream.failed(why))?;
        if more["sub"].as_str() != Some(subject) {
            return Err(upstream.failed("userinfo is about somebody else"));
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            // What is signed goes before what is not.
            claims.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Ok(())
    }
}

/// The answer is the provider's own (RFC 9207).
fn check_issuer(upstream: &Upstream, places: &Places, iss: Option<&str>) -> Result<(), SsoError> {
    match iss {
        Some(iss) if iss != upstream.settings.issuer => {
            Err(upstream.failed("the answer names another issuer"))
        }
        None if places.names_issuer => Err(upstream.failed("the answer does not name its issuer")),
        _ => Ok(()),
    }
}

/// RFC 6749, section 2.3.1: both are encoded as in a form first.
fn basic(client_id: &str, secret: &str) -> HeaderValue {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = STANDARD.encode(format!("{}:{}", encoded(client_id), encoded(secret)));
    let mut value = HeaderValue::try_from(format!("Basic {pair}"))
        .expect("base64 has visible ASCII characters only");
    value.set_sensitive(true);
    value
}
