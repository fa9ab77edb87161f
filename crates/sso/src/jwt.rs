//! `org.matrix.login.jwt`: somebody brings a token that the operator's own system signed.

use blaupause_accounts::{AccountsError, Issued, Newcomer, SignIn};
use ruma::{OwnedUserId, UserId};

use crate::{
    JwtLogin, Sso, SsoError,
    error::Refused,
    id_token::{LEEWAY_S, check_not_before, seconds, text},
    jose::{Claims, Token},
};

impl Sso {
    /// Whether tokens of the operator's own system are taken.
    pub fn takes_jwt(&self) -> bool {
        self.settings().jwt.is_some()
    }

    /// Sign in with a token of the operator's own system. It is good until it expires.
    ///
    /// # Errors
    /// Such tokens are not taken, the token is not good, there is no account for it, the account is
    /// deactivated or locked, or something failed.
    pub async fn sign_in_with_jwt(&self, token: &str, how: &SignIn) -> Result<Issued, SsoError> {
        let settings = self.settings().jwt.as_ref().ok_or(SsoError::JwtNotOffered)?;
        let wrong = |why: String| SsoError::WrongJwt(why);
        let token = Token::parse(token).map_err(|error| wrong(error.to_string()))?;
        let verified = token.verify(&settings.keys, &[settings.algorithm]);
        let (claims, _) = verified.map_err(|error| wrong(error.to_string()))?;
        let now_s = self.data().env().now_millis() / 1000;
        check(&claims, settings, now_s).map_err(|error| wrong(error.to_string()))?;
        let localpart = settings.localpart.fill(&claims).map_err(SsoError::MissingClaim)?;
        let user = self.person_of_jwt(settings, &claims, localpart.to_ascii_lowercase()).await?;
        Ok(self.accounts().sign_in_as(&user, how).await?)
    }

    async fn person_of_jwt(
        &self,
        settings: &JwtLogin,
        claims: &Claims,
        localpart: String,
    ) -> Result<OwnedUserId, SsoError> {
        let server = self.data().server_name();
        let Ok(user) = UserId::parse(format!("@{localpart}:{server}")) else {
            return Err(SsoError::BadLocalpart(localpart));
        };
        if self.accounts().account(&user).await?.is_some() {
            return Ok(user);
        }
        if !settings.register {
            return Err(SsoError::NotRegistered);
        }
        let template = settings.display_name.as_ref();
        let display_name = template.and_then(|template| template.fill_if_there(claims));
        let newcomer = Newcomer { localpart: localpart.clone(), display_name };
        match self.accounts().create_for(&newcomer, &|_| {}).await {
            // Made in another window at this moment.
            Ok(_) | Err(AccountsError::UserInUse) => Ok(user),
            Err(AccountsError::InvalidUsername(_)) => Err(SsoError::BadLocalpart(localpart)),
            Err(AccountsError::Exclusive) => Err(SsoError::Taken(localpart)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Pure. A token without an end is not taken: it could never be taken back.
fn check(claims: &Claims, settings: &JwtLogin, now_s: u64) -> Result<(), Refused> {
    match seconds(claims, "exp") {
        None => return Err(Refused::Claim("exp is missing")),
        Some(exp) if exp.saturating_add(LEEWAY_S) <= now_s => {
            return Err(Refused::Claim("it has expired"));
        }
        Some(_) => {}
    }
    check_not_before(claims, now_s)?;
    if settings.issuer.is_some() && text(claims, "iss") != settings.issuer.as_deref() {
        return Err(Refused::Claim("iss is not the configured issuer"));
    }
    let is_for = |value: &serde_json::Value| {
        value.as_str().is_some_and(|aud| settings.audiences.iter().any(|one| one == aud))
    };
    let is_ours = settings.audiences.is_empty()
        || match claims.get("aud") {
            Some(serde_json::Value::Array(all)) => all.iter().any(is_for),
            Some(one) => is_for(one),
            None => false,
        };
    if is_ours { Ok(()) } else { Err(Refused::Claim("aud is not one of the configured ones")) }
}
