//! One provider: its addresses and keys, asked for when they are needed and kept for a while
//! (OpenID Connect Discovery 1.0).

use std::{future::Future, time::Duration};

use blaupause_data::Env;
use blaupause_outbound::Outbound;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use crate::{
    SsoError,
    http::get_json,
    jose::{Algorithm, Claims, JoseError, Keys, Token},
    settings::Provider,
};

/// Addresses and keys are asked for anew after so long.
const FRESH_FOR: Duration = Duration::from_secs(60 * 60);
/// While the provider is away, old ones do for so long.
const USABLE_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// After it could not be reached, it is not asked for so long: whoever waits for their turn to ask
/// would otherwise wait in vain as long as all before them together.
const REST: Duration = Duration::from_secs(5);
/// A key that is not known makes us ask for keys, but not more often than this.
const KEYS_ASKED_EVERY: Duration = Duration::from_secs(30);

/// A provider and what is known about it.
pub(crate) struct Upstream {
    pub settings: Provider,
    env: Env,
    outbound: Outbound,
    places: Mutex<Known<Places>>,
    keys: Mutex<Known<Keys>>,
}

struct Known<T> {
    kept: Option<Kept<T>>,
    /// When it was asked for in vain, and why that was.
    failed: Option<(u64, String)>,
}

struct Kept<T> {
    value: T,
    asked_ms: u64,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { kept: None, failed: None }
    }
}

/// The provider's addresses.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub authorization: Url,
    pub token: String,
    pub userinfo: Option<String>,
    keys: String,
    /// Whether answers name their issuer (RFC 9207).
    pub names_issuer: bool,
}

impl Upstream {
    pub fn new(settings: Provider, env: Env, outbound: Outbound) -> Self {
        let (places, keys) = (Mutex::default(), Mutex::default());
        Self { settings, env, outbound, places, keys }
    }

    pub fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// Something went wrong at the provider: a line in the log, and little for the person.
    pub fn failed(&self, why: impl Into<String>) -> SsoError {
        let why = why.into();
        tracing::warn!(provider = self.settings.id, %why, "identity provider");
        SsoError::Provider(why)
    }

    /// The provider's addresses.
    ///
    /// # Errors
    /// It cannot be reached, or its document is not what it must be.
    pub async fn places(&self) -> Result<Places, SsoError> {
        let mut known = self.places.lock().await;
        self.fresh(&mut known, FRESH_FOR, self.ask_places()).await
    }

    async fn ask_places(&self) -> Result<Places, String> {
        let issuer = &self.settings.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = get_json(&self.outbound, &url, None).await?;
        understood(&document, issuer).map_err(|why| format!("{url}: {why}"))
    }

    /// What is kept if it is younger than `within`, else what is asked for now.
    async fn fresh<T: Clone>(
        &self,
        known: &mut Known<T>,
        within: Duration,
        ask: impl Future<Output = Result<T, String>> + Send,
    ) -> Result<T, SsoError> {
        let now = self.env.now_millis();
        let since = |ms: u64| Duration::from_millis(now.saturating_sub(ms));
        if let Some(kept) = known.kept.as_ref().filter(|kept| since(kept.asked_ms) < within) {
            return Ok(kept.value.clone());
        }
        let rests = known.failed.as_ref().filter(|(at, _)| since(*at) < REST);
        let asked = match rests {
            Some((_, why)) => Err(why.clone()),
            None => {
                let asked = ask.await;
                // It may have taken a while.
                let at = self.env.now_millis();
                known.failed = asked.as_ref().err().map(|why| (at, why.clone()));
                asked
            }
        };
        match asked {
            Ok(value) => {
                known.kept = Some(Kept { value: value.clone(), asked_ms: now });
                Ok(value)
            }
            Err(why) => {
                match known.kept.as_ref().filter(|kept| since(kept.asked_ms) < USABLE_FOR) {
                    Some(kept) => {
                        let provider = &self.settings.id;
                        tracing::warn!(provider, %why, "identity provider: old data is used");
                        Ok(kept.value.clone())
                    }
                    None => Err(self.failed(why)),
                }
            }
        }
    }

    async fn keys(&self, within: Duration) -> Result<Keys, SsoError> {
        let url = self.places().await?.keys;
        let mut known = self.keys.lock().await;
        let ask = async {
            let document = get_json(&self.outbound, &url, None).await?;
            Keys::from_jwks(&document).map_err(|error| format!("{url} {error}"))
        };
        self.fresh(&mut known, within, ask).await
    }

    /// What the provider signed. A key that is not known may be a new one: then its keys are asked
    /// for, now and then.
    ///
    /// # Errors
    /// The outer one: the provider cannot be reached. The inner one: it did not sign this.
    pub async fn verify(
        &self,
        token: &Token,
    ) -> Result<Result<(Claims, Algorithm), JoseError>, SsoError> {
        let allowed = &self.settings.algorithms;
        let verified = token.verify(&self.keys(FRESH_FOR).await?, allowed);
        // A provider that gives its keys no names may also sign with a new one.
        if !matches!(verified, Err(JoseError::UnknownKey | JoseError::Signature)) {
            return Ok(verified);
        }
        Ok(token.verify(&self.keys(KEYS_ASKED_EVERY).await?, allowed))
    }
}

/// Pure. The addresses in a provider's document.
fn understood(document: &Value, issuer: &str) -> Result<Places, String> {
    if document["issuer"].as_str() != Some(issuer) {
        return Err(format!("the issuer is {}, not \"{issuer}\"", document["issuer"]));
    }
    // What is asked in the open belongs to nobody; a provider on HTTPS does not lead away from it.
    let secure = issuer.starts_with("https://");
    let place = |name: &str| -> Result<Option<Url>, String> {
        let Some(text) = document[name].as_str() else { return Ok(None) };
        let url = Url::parse(text).map_err(|_| format!("{name} is no address"))?;
        match url.scheme() {
            "https" => Ok(Some(url)),
            "http" if !secure => Ok(Some(url)),
            _ => Err(format!("{name} is not on HTTPS")),
        }
    };
    let must = |name: &str| place(name)?.ok_or_else(|| format!("it has no {name}"));
    Ok(Places {
        authorization: must("authorization_endpoint")?,
        token: must("token_endpoint")?.into(),
        userinfo: place("userinfo_endpoint")?.map(Into::into),
        keys: must("jwks_uri")?.into(),
        names_issuer: document["authorization_response_iss_parameter_supported"] == true,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "issuer": "https://sso.example/realms/a",
            "authorization_endpoint": "https://sso.example/auth",
            "token_endpoint": "https://sso.example/token",
            "jwks_uri": "https://sso.example/certs",
        })
    }

    #[test]
    fn a_document_of_another_issuer_is_refused() {
        let issuer = "https://sso.example/realms/a";
        assert!(understood(&document(), issuer).is_ok());
        for other in ["https://sso.example/realms/b", "https://sso.example/realms/a/", ""] {
            assert!(understood(&document(), other).is_err(), "{other}");
        }
    }

    #[test]
    fn nobody_is_led_away_from_https() {
        for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            for bad in [json!("http://sso.example/"), json!("file:///etc"), json!("x"), Value::Null]
            {
                let mut document = document();
                document[name] = bad;
                assert!(understood(&document, "https://sso.example/realms/a").is_err(), "{name}");
            }
        }
    }
}
