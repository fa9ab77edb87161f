//! A provider says that somebody has signed out there (OpenID Connect Back-Channel Logout 1.0).

use ruma::{OwnedDeviceId, OwnedUserId};
use serde_json::Value;

use crate::{
    OnLogout, Sso, SsoError,
    error::Refused,
    id_token::{self, LEEWAY_S, check_audience, seconds, text},
    jose::{Claims, Token},
    session::SESSION_BYTES_MAX,
};

/// The one event that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// A token is taken for so many seconds after it was made.
const AGE_S_MAX: u64 = 5 * 60;
/// Bytes of a `jti`.
const ID_BYTES_MAX: usize = 255;

/// Somebody signed out at a provider; their browsers are signed out here, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggedOut {
    /// Whose devices are to be removed, with their keys; `None`: nobody here is concerned.
    pub user: Option<OwnedUserId>,
    pub devices: Vec<OwnedDeviceId>,
}

/// What a logout token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Logout<'l> {
    /// Without it, the session says who it is.
    subject: Option<&'l str>,
    session: Option<&'l str>,
    id: &'l str,
}

impl Sso {
    /// Take a logout token.
    ///
    /// # Errors
    /// The token is not good, there is no such provider, or something failed.
    pub async fn log_out(&self, provider: &str, token: &str) -> Result<LoggedOut, SsoError> {
        let bad = |why: String| SsoError::BadLogoutToken(why);
        let upstream = self.upstream(provider)?;
        let token = Token::parse(token).map_err(|error| bad(error.to_string()))?;
        if token.kind().is_some_and(|kind| !is_kind(kind)) {
            return Err(bad("typ is not logout+jwt".to_owned()));
        }
        let verified = upstream.verify(&token).await?;
        let (claims, _) = verified.map_err(|error| bad(error.to_string()))?;
        let settings = &upstream.settings;
        let now_s = self.data().env().now_millis() / 1000;
        let logout = check(&claims, &settings.issuer, &settings.client_id, now_s)
            .map_err(|error| bad(error.to_string()))?;
        if !self.is_first_use(&format!("{provider} {}", logout.id)) {
            return Err(bad("it was used before".to_owned()));
        }
        let user = match (logout.subject, logout.session) {
            (Some(subject), _) => self.linked(&settings.issuer, subject).await?,
            (None, Some(session)) => self.whose_session(provider, session).await?,
            (None, None) => None,
        };
        let Some(user) = user else { return Ok(LoggedOut::default()) };
        let accounts = self.accounts();
        let mut devices = accounts.close_opened_by(&user, provider, logout.session).await?;
        if settings.on_logout == OnLogout::Browsers {
            devices.clear();
        }
        tracing::info!(provider, devices = devices.len(), "signed out by the identity provider");
        Ok(LoggedOut { user: Some(user), devices })
    }
}

fn is_kind(kind: &str) -> bool {
    let kind = kind.strip_prefix("application/").unwrap_or(kind);
    kind.eq_ignore_ascii_case("logout+jwt") || kind.eq_ignore_ascii_case("JWT")
}

/// Pure. Section 2.6.
fn check<'c>(
    claims: &'c Claims,
    issuer: &str,
    client_id: &str,
    now_s: u64,
) -> Result<Logout<'c>, Refused> {
    if text(claims, "iss") != Some(issuer) {
        return Err(Refused::Claim("iss is not the configured issuer"));
    }
    check_audience(claims, client_id)?;
    let made = seconds(claims, "iat").ok_or(Refused::Claim("iat is missing"))?;
    if made > now_s.saturating_add(LEEWAY_S) || made.saturating_add(AGE_S_MAX) <= now_s {
        return Err(Refused::Claim("iat is too old or in the future"));
    }
    // Providers of before 2022 send none.
    if claims.contains_key("exp")
        && seconds(claims, "exp").is_none_or(|exp| exp.saturating_add(LEEWAY_S) <= now_s)
    {
        return Err(Refused::Claim("it has expired"));
    }
    if claims.contains_key("nonce") {
        return Err(Refused::Claim("a logout token has no nonce"));
    }
    if !claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return Err(Refused::Claim("events does not say that it is a logout"));
    }
    let short = |name, max| text(claims, name).filter(|id| !id.is_empty() && id.len() <= max);
    let session = match claims.get("sid") {
        Some(_) => {
            let session = short("sid", SESSION_BYTES_MAX);
            Some(session.ok_or(Refused::Claim("sid is not a short text"))?)
        }
        None => None,
    };
    let subject = match (claims.get("sub"), session) {
        (None, Some(_)) => None,
        (None, None) => return Err(Refused::Claim("there is neither sub nor sid")),
        (Some(_), _) => Some(id_token::subject(claims)?),
    };
    let id = short("jti", ID_BYTES_MAX).ok_or(Refused::Claim("jti is missing"))?;
    Ok(Logout { subject, session, id })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn checked(change: &str, value: Value) -> Result<(), Refused> {
        let mut claims = json!({
            "iss": "https://sso.example/",
            "sub": "s",
            "sid": "x",
            "aud": "matrix",
            "iat": NOW,
            "exp": NOW + 60,
            "jti": "1",
            "events": { EVENT: {} },
        });
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(change);
        } else {
            claims[change] = value;
        }
        let claims = claims.as_object().expect("an object");
        check(claims, "https://sso.example/", "matrix", NOW).map(|logout| {
            let subject = (change != "sub").then_some("s");
            assert_eq!((logout.subject, logout.id), (subject, "1"));
        })
    }

    #[test]
    fn a_logout_token_is_taken() {
        for (claim, value) in [
            ("x", json!(1)),
            ("sid", Value::Null),
            ("sub", Value::Null),
            ("exp", Value::Null),
            ("aud", json!(["matrix"])),
            ("iat", json!(NOW - 200)),
        ] {
            assert_eq!(checked(claim, value.clone()), Ok(()), "{claim} {value}");
        }
    }

    #[test]
    fn each_wrong_claim_is_refused() {
        for (claim, value) in [
            ("iss", json!("https://evil.example/")),
            ("aud", json!("other")),
            ("aud", Value::Null),
            ("iat", json!(NOW - AGE_S_MAX)),
            ("iat", json!(NOW + LEEWAY_S + 1)),
            ("iat", Value::Null),
            ("exp", json!(NOW - LEEWAY_S)),
            ("nonce", json!("n")),
            ("events", Value::Null),
            ("events", json!({})),
            ("events", json!({ EVENT: "yes" })),
            ("sub", json!("")),
            ("sub", json!(1)),
            ("sid", json!("")),
            ("sid", json!(1)),
            ("jti", Value::Null),
            ("jti", json!("")),
        ] {
            assert!(checked(claim, value.clone()).is_err(), "{claim} {value}");
        }
    }

    #[test]
    fn a_logout_token_names_a_person_or_a_session() {
        let claims = json!({
            "iss": "i", "aud": "c", "iat": NOW, "jti": "1", "events": { EVENT: {} },
        });
        let claims = claims.as_object().expect("an object");
        assert!(check(claims, "i", "c", NOW).is_err());
    }

    #[test]
    fn only_logout_tokens_say_that_they_are() {
        for good in ["logout+jwt", "JWT", "application/logout+jwt", "jwt"] {
            assert!(is_kind(good), "{good}");
        }
        for bad in ["at+jwt", "", "logout"] {
            assert!(!is_kind(bad), "{bad}");
        }
    }
}
