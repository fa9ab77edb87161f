//! A sign-in that has begun. It stands in a cookie of the browser that began it, signed, so that
//! nothing is stored for those who never come back; a restart of the server ends it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use blaupause_data::Env;
use ring::hmac;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

/// A person has so long at the provider, in milliseconds.
pub(crate) const PENDING_MS_MAX: u64 = 15 * 60 * 1000;
/// Bytes of the cookie: browsers keep 4,096 with its name and attributes.
const COOKIE_BYTES_MAX: usize = 3_700;

/// What somebody goes to a provider for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// To come in.
    SignIn,
    /// To show that it is still them, for a page (`None`) or for an authentication session of a
    /// client.
    Prove { user: OwnedUserId, session: Option<String> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub provider: String,
    pub state: String,
    pub nonce: String,
    /// Of PKCE (RFC 7636).
    pub verifier: String,
    pub started_ms: u64,
    pub purpose: Purpose,
    /// Where the person wants to be afterwards.
    pub next: String,
}

/// Signs cookies.
pub(crate) struct Seal(hmac::Key);

impl Seal {
    pub fn new(env: &Env) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &env.random::<32>()))
    }

    /// The text of the cookie; without `next` if it would not fit.
    pub fn close(&self, pending: &Pending) -> String {
        let text = self.signed(pending);
        if text.len() <= COOKIE_BYTES_MAX {
            return text;
        }
        self.signed(&Pending { next: String::new(), ..pending.clone() })
    }

    fn signed(&self, pending: &Pending) -> String {
        let json = serde_json::to_vec(pending).expect("texts and numbers have a JSON form");
        let body = URL_SAFE_NO_PAD.encode(json);
        let tag = hmac::sign(&self.0, body.as_bytes());
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// What was closed; `None` if it was not closed by us.
    pub fn open(&self, text: &str) -> Option<Pending> {
        let (body, tag) = text.split_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.0, body.as_bytes(), &tag).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(next: &str) -> Pending {
        Pending {
            provider: "p".into(),
            state: "s".into(),
            nonce: "n".into(),
            verifier: "v".into(),
            started_ms: 1,
            purpose: Purpose::SignIn,
            next: next.into(),
        }
    }

    #[test]
    fn only_what_this_server_closed_is_opened() {
        let env = Env::manual(0);
        let seal = Seal::new(&env);
        let text = seal.close(&pending("/account/"));
        assert_eq!(seal.open(&text), Some(pending("/account/")));
        assert_eq!(Seal::new(&env).open(&text), None);
        let (body, tag) = text.split_once('.').expect("two parts");
        for bad in ["", ".", body, &format!("{body}."), &format!("x{body}.{tag}")] {
            assert_eq!(seal.open(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_does_not_fit_into_a_cookie_is_left_out() {
        let seal = Seal::new(&Env::manual(0));
        let text = seal.close(&pending(&"x".repeat(5_000)));
        assert_eq!(seal.open(&text), Some(pending("")));
    }
}
