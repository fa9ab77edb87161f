use std::sync::Arc;

use blaupause_accounts::{AccountsError, NewAccount, SignIn};
use serde_json::{Value, json};

use super::{P256, RSA, RSA_PUBLIC, START_S, sso};
use crate::{Algorithm, JwtLogin, Keys, Settings, SigningKey, Sso, SsoError, VerifyingKey};

fn settings(register: bool) -> Settings {
    let jwt = JwtLogin {
        algorithm: Algorithm::RS256,
        keys: Arc::new(Keys::one(VerifyingKey::from_pem(RSA_PUBLIC).expect("a key"))),
        issuer: Some("https://portal.example/".to_owned()),
        audiences: vec!["matrix".to_owned(), "chat".to_owned()],
        localpart: "{sub}".parse().expect("a template"),
        display_name: Some("{name}".parse().expect("a template")),
        register,
    };
    Settings { jwt: Some(jwt), ..Settings::default() }
}

fn token(change: &str, value: Value) -> String {
    signed(RSA, change, value)
}

fn signed(key: &str, change: &str, value: Value) -> String {
    let mut claims = json!({
        "iss": "https://portal.example/",
        "sub": "Erika",
        "aud": "chat",
        "exp": START_S + 60,
        "name": "Erika M.",
    });
    claims[change] = value;
    let key = SigningKey::from_pem(key, None).expect("a private key");
    key.sign("JWT", &claims).expect("it signs")
}

async fn sign_in(sso: &Sso, token: &str) -> Result<String, SsoError> {
    let issued = sso.sign_in_with_jwt(token, &SignIn::default()).await?;
    Ok(issued.user_id.to_string())
}

#[tokio::test]
async fn a_good_token_makes_the_account_and_signs_in() {
    let sso = sso(settings(true)).await;
    for _ in 0..2 {
        let user = sign_in(&sso, &token("x", json!(1))).await.expect("it is good");
        assert_eq!(user, "@erika:a.example");
    }
    let user = ruma::user_id!("@erika:a.example");
    let profile = sso.accounts().profile(user).await.expect("memory reads").expect("a profile");
    assert_eq!(profile.display_name(), Some("Erika M."));
}

#[tokio::test]
async fn each_wrong_token_is_refused() {
    let sso = sso(settings(true)).await;
    for (claim, value) in [
        ("iss", json!("https://evil.example/")),
        ("iss", Value::Null),
        ("aud", json!("other")),
        ("aud", json!(["other"])),
        ("aud", Value::Null),
        ("exp", json!(START_S - 60)),
        ("exp", Value::Null),
        ("nbf", json!(START_S + 120)),
    ] {
        let refused = sign_in(&sso, &token(claim, value.clone())).await;
        assert!(matches!(refused, Err(SsoError::WrongJwt(_))), "{claim} {value} {refused:?}");
    }
    let other = sign_in(&sso, &signed(P256, "x", json!(1))).await;
    assert!(matches!(other, Err(SsoError::WrongJwt(_))), "{other:?}");
    for (name, wanted) in [("a b", "a b"), ("ä", "ä")] {
        let refused = sign_in(&sso, &token("sub", json!(name))).await;
        assert!(matches!(refused, Err(SsoError::BadLocalpart(bad)) if bad == wanted));
    }
    let missing = sign_in(&sso, &token("sub", Value::Null)).await;
    assert!(matches!(missing, Err(SsoError::MissingClaim(_))), "{missing:?}");
}

#[tokio::test]
async fn without_registration_only_accounts_that_exist_come_in() {
    let sso = sso(settings(false)).await;
    let refused = sign_in(&sso, &token("x", json!(1))).await;
    assert!(matches!(refused, Err(SsoError::NotRegistered)), "{refused:?}");
    let new = NewAccount { localpart: "erika".to_owned(), password: None, admin: false };
    let user = sso.accounts().create(new).await.expect("the name is free");
    assert_eq!(sign_in(&sso, &token("x", json!(1))).await.expect("it is good"), user.as_str());
    sso.accounts().set_locked(&user, true).await.expect("memory writes");
    let refused = sign_in(&sso, &token("x", json!(1))).await;
    assert!(matches!(refused, Err(SsoError::Accounts(AccountsError::Locked))), "{refused:?}");
}

#[tokio::test]
async fn it_is_off_by_default() {
    let sso = sso(Settings::default()).await;
    let refused = sign_in(&sso, &token("x", json!(1))).await;
    assert!(matches!(refused, Err(SsoError::JwtNotOffered)), "{refused:?}");
}
