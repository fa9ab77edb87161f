use std::collections::BTreeMap;

use ruma::{OwnedUserId, device_id};
use serde_json::{Value, json};

use super::{PASSWORD, World, cheap, secret};
use crate::{
    AccountsError, AuthorizationRequest, Client, OAuthError, OAuthIssued, RefusedRequest, Secret,
    Settings, SignIn,
};

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "https://app.example.org/callback";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn metadata(name: &str) -> Value {
    json!({
        "client_name": name,
        "client_uri": "https://app.example.org/",
        "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token", DEVICE_CODE],
        "response_types": ["code"],
    })
}

fn scope(device: &str) -> String {
    format!("urn:matrix:client:api:* urn:matrix:client:device:{device}")
}

/// A world with a user and a client.
struct Stage {
    world: World,
    user: OwnedUserId,
    client: Client,
}

impl Stage {
    async fn new() -> Self {
        Self::with(cheap()).await
    }

    async fn with(settings: Settings) -> Self {
        let world = World::with(settings).await;
        let user = world.user("alice").await;
        let client = register(&world, "Element").await;
        Self { world, user, client }
    }

    async fn request(&self, device: &str) -> AuthorizationRequest {
        let parameters = [
            ("client_id", self.client.id.as_str()),
            ("redirect_uri", REDIRECT),
            ("response_type", "code"),
            ("scope", &scope(device)),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let parameters = parameters.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let request = self.world.accounts.authorization_request(&parameters.into()).await;
        request.expect("the request is whole")
    }

    async fn code(&self, device: &str) -> Secret {
        let request = self.request(device).await;
        self.world.accounts.grant_code(&self.user, &request, None).await.expect("memory writes")
    }

    async fn redeem(&self, code: &Secret) -> Result<OAuthIssued, OAuthError> {
        let accounts = &self.world.accounts;
        accounts.redeem_code(code.reveal(), &self.client.id, REDIRECT, VERIFIER).await
    }

    async fn session(&self, device: &str) -> OAuthIssued {
        let code = self.code(device).await;
        self.redeem(&code).await.expect("the code is good")
    }

    async fn refresh(&self, session: &OAuthIssued) -> Result<OAuthIssued, OAuthError> {
        self.world.accounts.refresh_oauth(refresh_token(session), &self.client.id).await
    }

    async fn works(&self, session: &OAuthIssued) -> bool {
        let token = session.issued.access_token.reveal();
        self.world.accounts.authenticate(token).await.is_ok()
    }
}

async fn register(world: &World, name: &str) -> Client {
    let json = metadata(name);
    let json = json.as_object().expect("an object");
    world.accounts.register_oauth_client(json).await.expect("the metadata is good")
}

fn refresh_token(session: &OAuthIssued) -> &str {
    session.issued.refresh_token.as_ref().map(Secret::reveal).expect("there always is one")
}

fn is_grant_refused<T>(result: &Result<T, OAuthError>) -> bool {
    matches!(result, Err(OAuthError::InvalidGrant(_)))
}

fn is_compromised<T>(result: &Result<T, OAuthError>) -> bool {
    matches!(result, Err(OAuthError::Compromised { .. }))
}

#[tokio::test]
async fn the_same_client_registers_once() {
    let world = World::new().await;
    let first = register(&world, "Element").await;
    let before = world.dump().await;
    let again = register(&world, "Element").await;
    assert_eq!(first.id, again.id);
    assert_eq!(world.dump().await, before);
    assert_ne!(register(&world, "Other").await.id, first.id);
    assert!(world.accounts.oauth_client(&first.id).await.expect("memory reads").is_some());
    for unknown in ["", "nobody", &"x".repeat(10_000)] {
        assert!(world.accounts.oauth_client(unknown).await.expect("memory reads").is_none());
    }
}

#[tokio::test]
async fn a_code_opens_a_session_on_the_wanted_device() {
    let stage = Stage::new().await;
    let session = stage.session("ABCDEFGHIJ").await;
    assert_eq!(session.scope, scope("ABCDEFGHIJ"));
    assert_eq!(session.issued.device_id, "ABCDEFGHIJ");
    assert!(session.issued.expires_in.is_some());
    assert!(stage.works(&session).await);
    let accounts = &stage.world.accounts;
    let device = accounts.device(&stage.user, device_id!("ABCDEFGHIJ")).await;
    let device = device.expect("memory reads").expect("it signed in");
    assert_eq!(device.display_name.as_deref(), Some("Element"));
    let oauth = accounts.oauth_sessions(&stage.user).await.expect("memory reads");
    assert_eq!(oauth[device_id!("ABCDEFGHIJ")].client_id, stage.client.id);
}

#[tokio::test]
async fn many_people_sign_in_with_one_client_at_once() {
    let stage = Stage::new().await;
    let mut codes = Vec::new();
    for number in 0..20 {
        let user = stage.world.user(&format!("u{number}")).await;
        let request = stage.request("D").await;
        let code = stage.world.accounts.grant_code(&user, &request, None).await;
        codes.push(code.expect("memory writes"));
    }
    stage.session("D").await;
    let client = || stage.world.accounts.stored_client(&stage.client.id);
    let before = client().await.expect("memory reads").expect("it is registered").version;
    for code in &codes {
        stage.redeem(code).await.expect("the code is good");
    }
    // None of them touched the row that all have in common, so none waits for another.
    let after = client().await.expect("memory reads").expect("it is registered").version;
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_code_that_is_used_twice_is_noticed() {
    let stage = Stage::new().await;
    let code = stage.code("D").await;
    let session = stage.redeem(&code).await.expect("the code is good");
    let again = stage.redeem(&code).await;
    assert!(is_compromised(&again), "{again:?}");
    // Whoever gets this removes the device.
    stage.world.accounts.delete_devices(&stage.user, &["D".into()]).await.expect("memory writes");
    assert!(!stage.works(&session).await);
    assert!(is_grant_refused(&stage.redeem(&code).await));
}

#[tokio::test]
async fn a_used_code_does_not_end_a_later_session_of_the_device() {
    let stage = Stage::new().await;
    let code = stage.code("D").await;
    stage.redeem(&code).await.expect("the code is good");
    let later = stage.session("D").await;
    assert!(is_grant_refused(&stage.redeem(&code).await));
    assert!(stage.works(&later).await);
}

#[tokio::test]
async fn of_two_who_redeem_a_code_at_once_one_wins() {
    let stage = Stage::new().await;
    let code = stage.code("D").await;
    let (one, other) = tokio::join!(stage.redeem(&code), stage.redeem(&code));
    assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1);
    assert!(is_compromised(&one) || is_compromised(&other));
}

#[tokio::test]
async fn a_code_is_good_for_a_minute() {
    let stage = Stage::new().await;
    let code = stage.code("D").await;
    stage.world.advance(60);
    assert!(is_grant_refused(&stage.redeem(&code).await));
}

#[tokio::test]
async fn a_code_belongs_to_its_request() {
    let stage = Stage::new().await;
    let other = register(&stage.world, "Other").await;
    let accounts = &stage.world.accounts;
    let code = stage.code("D").await;
    let code = code.reveal();
    let wrong_verifier = VERIFIER.replace('d', "e");
    for (client, redirect, verifier) in [
        (other.id.as_str(), REDIRECT, VERIFIER),
        (&stage.client.id, "https://app.example.org/", VERIFIER),
        (&stage.client.id, REDIRECT, wrong_verifier.as_str()),
        (&stage.client.id, REDIRECT, CHALLENGE),
        ("", "", ""),
    ] {
        let refused = accounts.redeem_code(code, client, redirect, verifier).await;
        assert!(is_grant_refused(&refused), "{refused:?}");
    }
    for bad in
        ["", "bpc_", "bpc_0000000000000001_x", &code.replace("bpc_", "bp_"), &format!("{code}x")]
    {
        let refused = accounts.redeem_code(bad, &stage.client.id, REDIRECT, VERIFIER).await;
        assert!(is_grant_refused(&refused), "{bad}");
    }
    // None of this used it up.
    assert!(accounts.redeem_code(code, &stage.client.id, REDIRECT, VERIFIER).await.is_ok());
}

#[tokio::test]
async fn nobody_gets_a_session_for_a_closed_account() {
    let stage = Stage::new().await;
    let (first, second) = (stage.code("D").await, stage.code("E").await);
    stage.world.accounts.set_locked(&stage.user, true).await.expect("memory writes");
    assert!(is_grant_refused(&stage.redeem(&first).await));
    stage.world.accounts.set_locked(&stage.user, false).await.expect("memory writes");
    stage.world.accounts.deactivate(&stage.user, false).await.expect("memory writes");
    assert!(is_grant_refused(&stage.redeem(&second).await));
}

#[tokio::test]
async fn codes_do_not_pile_up() {
    let stage = Stage::new().await;
    let first = stage.code("D").await;
    for _ in 0..20 {
        stage.world.advance(1);
        stage.code("D").await;
    }
    assert!(is_grant_refused(&stage.redeem(&first).await));
}

#[tokio::test]
async fn refreshing_moves_on_and_survives_a_lost_answer() {
    let stage = Stage::new().await;
    let first = stage.session("D").await;
    let lost = stage.refresh(&first).await.expect("it is good");
    let second = stage.refresh(&first).await.expect("the answer was lost");
    assert_eq!(second.scope, first.scope);
    assert!(stage.works(&second).await);
    assert!(!stage.works(&first).await && !stage.works(&lost).await);
    let third = stage.refresh(&second).await.expect("it is good");
    assert!(stage.works(&third).await);
}

#[tokio::test]
async fn a_replaced_refresh_token_gives_the_session_away() {
    let stage = Stage::new().await;
    let first = stage.session("D").await;
    let second = stage.refresh(&first).await.expect("it is good");
    assert!(stage.works(&second).await);
    let reused = stage.refresh(&first).await;
    assert!(is_compromised(&reused), "{reused:?}");
    // Even much later, and for a session that has moved on.
    let mut newest = second;
    for _ in 0..10 {
        newest = stage.refresh(&newest).await.expect("it is good");
        assert!(stage.works(&newest).await);
    }
    assert!(is_compromised(&stage.refresh(&first).await));
    // A made-up token is none of the family.
    let made_up = format!("{}x", refresh_token(&newest).split_once('.').expect("a family").0);
    let made_up = stage.world.accounts.refresh_oauth(&made_up, &stage.client.id).await;
    assert!(is_grant_refused(&made_up));
    assert!(stage.works(&newest).await);
}

#[tokio::test]
async fn after_the_session_ended_its_tokens_are_only_unknown() {
    let stage = Stage::new().await;
    let first = stage.session("D").await;
    let second = stage.refresh(&first).await.expect("it is good");
    assert!(stage.works(&second).await);
    stage.world.accounts.delete_devices(&stage.user, &["D".into()]).await.expect("memory writes");
    assert!(is_grant_refused(&stage.refresh(&first).await));
    assert!(is_grant_refused(&stage.refresh(&second).await));
}

#[tokio::test]
async fn tokens_belong_to_their_client_and_their_api() {
    let stage = Stage::new().await;
    let other = register(&stage.world, "Other").await;
    let session = stage.session("D").await;
    let accounts = &stage.world.accounts;
    let token = refresh_token(&session);
    assert!(is_grant_refused(&accounts.refresh_oauth(token, &other.id).await));
    let legacy = accounts.refresh(token).await;
    assert!(matches!(legacy, Err(AccountsError::UnknownToken { soft_logout: false })));
    let how = SignIn { refresh: true, ..SignIn::default() };
    let legacy = stage.world.sign_in(&stage.user, &how).await;
    let legacy = legacy.refresh_token.as_ref().map(Secret::reveal).expect("it was wanted");
    assert!(is_grant_refused(&accounts.refresh_oauth(legacy, &stage.client.id).await));
    let access = session.issued.access_token.reveal();
    assert!(is_grant_refused(&accounts.refresh_oauth(access, &stage.client.id).await));
    assert!(stage.works(&session).await);
}

#[tokio::test]
async fn who_signs_in_otherwise_on_the_device_ends_the_oauth_session() {
    let stage = Stage::new().await;
    let session = stage.session("D").await;
    let how = SignIn { device_id: Some("D".into()), ..SignIn::default() };
    stage.world.sign_in(&stage.user, &how).await;
    assert!(!stage.works(&session).await);
    let accounts = &stage.world.accounts;
    assert!(accounts.oauth_sessions(&stage.user).await.expect("memory reads").is_empty());
}

#[tokio::test]
async fn a_locked_account_keeps_its_session_but_can_do_nothing() {
    let stage = Stage::new().await;
    let session = stage.session("D").await;
    stage.world.accounts.set_locked(&stage.user, true).await.expect("memory writes");
    let renewed = stage.refresh(&session).await.expect("clients must not lose their keys");
    let token = renewed.issued.access_token.reveal();
    let locked = stage.world.accounts.authenticate(token).await;
    assert!(matches!(locked, Err(AccountsError::Locked)));
}

#[tokio::test]
async fn a_token_of_either_kind_says_whose_it_is() {
    let stage = Stage::new().await;
    let session = stage.session("D").await;
    let accounts = &stage.world.accounts;
    for token in [session.issued.access_token.reveal(), refresh_token(&session)] {
        let owner = accounts.token_owner(token).await.expect("memory reads").expect("it is known");
        assert_eq!((owner.user_id, owner.device_id), (stage.user.clone(), "D".into()));
    }
    for unknown in ["", "x", "bp_0000000000000001_x", &"x".repeat(10_000)] {
        assert_eq!(accounts.token_owner(unknown).await.expect("memory reads"), None);
    }
}

#[tokio::test]
async fn a_person_lets_a_device_in_by_its_code() {
    let stage = Stage::new().await;
    let accounts = &stage.world.accounts;
    let id = &stage.client.id;
    let grant = accounts.start_device_grant(id, &scope("TV")).await.expect("the request is good");
    let poll = || accounts.poll_device_grant(id, grant.device_code.reveal());
    assert!(matches!(poll().await, Err(OAuthError::AuthorizationPending)));
    let typed = grant.user_code.to_lowercase();
    let pending = accounts.pending_device_grant(&typed).await.expect("memory reads");
    assert_eq!(pending.expect("it waits").client.id, *id);
    assert!(
        accounts.decide_device_grant(&stage.user, &typed, true, None).await.expect("memory writes")
    );
    assert!(accounts.pending_device_grant(&typed).await.expect("memory reads").is_none());
    assert!(
        !accounts
            .decide_device_grant(&stage.user, &typed, false, None)
            .await
            .expect("memory reads")
    );
    let session = poll().await.expect("it was allowed");
    assert_eq!(session.issued.device_id, "TV");
    assert!(stage.works(&session).await);
    // Once only.
    assert!(is_grant_refused(&poll().await));
}

#[tokio::test]
async fn who_polls_too_often_has_to_wait_longer() {
    let stage = Stage::new().await;
    let accounts = &stage.world.accounts;
    let id = &stage.client.id;
    let grant = accounts.start_device_grant(id, &scope("TV")).await.expect("the request is good");
    let poll = || accounts.poll_device_grant(id, grant.device_code.reveal());
    assert!(matches!(poll().await, Err(OAuthError::AuthorizationPending)));
    stage.world.advance(5);
    assert!(matches!(poll().await, Err(OAuthError::AuthorizationPending)));
    stage.world.advance(4);
    assert!(matches!(poll().await, Err(OAuthError::SlowDown)));
    // Ten seconds from now on.
    stage.world.advance(9);
    assert!(matches!(poll().await, Err(OAuthError::SlowDown)));
    stage.world.advance(15);
    assert!(matches!(poll().await, Err(OAuthError::AuthorizationPending)));
}

#[tokio::test]
async fn a_device_grant_can_be_denied_and_ends_by_itself() {
    let stage = Stage::new().await;
    let accounts = &stage.world.accounts;
    let id = &stage.client.id;
    let start =
        || accounts.start_device_grant(id, "urn:matrix:client:api:* urn:matrix:client:device:TV");
    let denied = start().await.expect("the request is good");
    let code = &denied.user_code;
    assert!(
        accounts.decide_device_grant(&stage.user, code, false, None).await.expect("memory writes")
    );
    let poll = accounts.poll_device_grant(id, denied.device_code.reveal()).await;
    assert!(matches!(poll, Err(OAuthError::AccessDenied)));
    let late = start().await.expect("the request is good");
    stage.world.advance(15 * 60);
    assert!(accounts.pending_device_grant(&late.user_code).await.expect("memory reads").is_none());
    let poll = accounts.poll_device_grant(id, late.device_code.reveal()).await;
    assert!(matches!(poll, Err(OAuthError::ExpiredToken)));
    stage.world.advance(60 * 60);
    accounts.sweep_oauth().await.expect("memory writes");
    let poll = accounts.poll_device_grant(id, late.device_code.reveal()).await;
    assert!(is_grant_refused(&poll));
}

#[tokio::test]
async fn a_device_code_belongs_to_its_client() {
    let stage = Stage::new().await;
    let accounts = &stage.world.accounts;
    let other = register(&stage.world, "Other").await;
    let id = &stage.client.id;
    let grant = accounts.start_device_grant(id, &scope("TV")).await.expect("the request is good");
    let code = grant.device_code.reveal();
    assert!(is_grant_refused(&accounts.poll_device_grant(&other.id, code).await));
    let user_code = grant.user_code.replace('-', "");
    for bad in ["", "bpd_", &user_code, &format!("bpd_{user_code}_x"), &format!("{code}x")] {
        assert!(is_grant_refused(&accounts.poll_device_grant(id, bad).await), "{bad}");
    }
    let unknown = accounts.start_device_grant("nobody", &scope("TV")).await;
    assert!(matches!(unknown, Err(OAuthError::InvalidClient)));
    let bad_scope = accounts.start_device_grant(id, "openid").await;
    assert!(matches!(bad_scope, Err(OAuthError::InvalidScope(_))));
    let mut json = metadata("Without");
    json["grant_types"] = json!(["authorization_code"]);
    let without = accounts.register_oauth_client(json.as_object().expect("an object")).await;
    let without = without.expect("the metadata is good");
    let refused = accounts.start_device_grant(&without.id, &scope("TV")).await;
    assert!(matches!(refused, Err(OAuthError::UnauthorizedClient)));
}

#[tokio::test]
async fn clients_are_kept_as_long_as_a_session_can_live() {
    const DAY: u64 = 24 * 60 * 60;
    let stage = Stage::new().await;
    let accounts = &stage.world.accounts;
    let unused = register(&stage.world, "Unused").await;
    let is_known = async |client: &Client| {
        accounts.oauth_client(&client.id).await.expect("memory reads").is_some()
    };
    let mut session = stage.session("D").await;
    stage.world.advance(DAY);
    accounts.sweep_oauth().await.expect("memory writes");
    assert!(!is_known(&unused).await && is_known(&stage.client).await);
    // A session that is refreshed keeps its client …
    for _ in 0..3 {
        stage.world.advance(80 * DAY);
        session = stage.refresh(&session).await.expect("it is good");
        accounts.sweep_oauth().await.expect("memory writes");
        assert!(is_known(&stage.client).await);
    }
    // … and when none can be alive any more, it goes.
    stage.world.advance(93 * DAY);
    assert!(is_grant_refused(&stage.refresh(&session).await));
    accounts.sweep_oauth().await.expect("memory writes");
    assert!(!is_known(&stage.client).await);
}

#[tokio::test]
async fn requests_of_unknown_clients_and_to_unknown_places_lead_nowhere() {
    let stage = Stage::new().await;
    let accounts = &stage.world.accounts;
    for (client, redirect) in [
        ("", REDIRECT),
        ("nobody", REDIRECT),
        (stage.client.id.as_str(), ""),
        (&stage.client.id, "https://evil.example.org/"),
        (&stage.client.id, "https://app.example.org/callback/"),
    ] {
        let parameters = BTreeMap::from(
            [("client_id", client), ("redirect_uri", redirect)]
                .map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        let refused = accounts.authorization_request(&parameters).await;
        assert!(matches!(refused, Err(RefusedRequest::Here(_))), "{client} {redirect}");
    }
}

async fn open(stage: &Stage) -> Secret {
    let opened = stage.world.accounts.open_browser("alice", &secret(PASSWORD)).await;
    opened.expect("name and password are right")
}

async fn is_signed_in(stage: &Stage, cookie: &Secret) -> bool {
    let browser = stage.world.accounts.browser(cookie.reveal()).await.expect("memory reads");
    browser.is_some_and(|browser| browser.user_id == stage.user)
}

#[tokio::test]
async fn a_browser_is_signed_in_for_a_working_day() {
    let stage = Stage::new().await;
    let cookie = open(&stage).await;
    assert!(is_signed_in(&stage, &cookie).await);
    // The cookie is no access token, and nothing else is a cookie.
    assert!(stage.world.accounts.authenticate(cookie.reveal()).await.is_err());
    let session = stage.session("D").await;
    assert!(!is_signed_in(&stage, &session.issued.access_token).await);
    stage.world.advance(12 * 60 * 60);
    assert!(!is_signed_in(&stage, &cookie).await);
}

#[tokio::test]
async fn browsers_are_signed_out_by_whatever_closes_the_account() {
    let stage = Stage::new().await;
    let accounts = &stage.world.accounts;
    let (one, other) = (open(&stage).await, open(&stage).await);
    accounts.close_browser(one.reveal()).await.expect("memory writes");
    accounts.close_browser("bpb_0000000000000001_x").await.expect("no error");
    assert!(!is_signed_in(&stage, &one).await && is_signed_in(&stage, &other).await);
    accounts.set_locked(&stage.user, true).await.expect("memory writes");
    assert!(!is_signed_in(&stage, &other).await);
    accounts.set_locked(&stage.user, false).await.expect("memory writes");
    assert!(is_signed_in(&stage, &other).await);
    accounts.set_password(&stage.user, secret(PASSWORD)).await.expect("memory writes");
    assert!(!is_signed_in(&stage, &other).await);
    let last = open(&stage).await;
    accounts.deactivate(&stage.user, false).await.expect("memory writes");
    assert!(!is_signed_in(&stage, &last).await);
}

#[tokio::test]
async fn unknown_people_and_wrong_passwords_look_the_same() {
    let stage = Stage::new().await;
    let accounts = &stage.world.accounts;
    let bob = stage.world.user("bob").await;
    accounts.deactivate(&bob, false).await.expect("memory writes");
    for (name, password) in [
        ("alice", "wrong"),
        ("nobody", PASSWORD),
        ("bob", PASSWORD),
        ("", ""),
        ("@x:other", PASSWORD),
    ] {
        let refused = accounts.open_browser(name, &secret(password)).await;
        assert!(matches!(refused, Err(AccountsError::WrongPassword)), "{name}");
    }
}

#[tokio::test]
async fn browsers_do_not_pile_up() {
    let stage = Stage::new().await;
    let first = open(&stage).await;
    for _ in 0..20 {
        stage.world.advance(1);
        open(&stage).await;
    }
    assert!(!is_signed_in(&stage, &first).await);
}

#[tokio::test]
async fn leave_to_reset_is_for_once_and_for_minutes() {
    let stage = Stage::new().await;
    let accounts = &stage.world.accounts;
    let may = || accounts.may_reset(&stage.user);
    assert!(!may().await.expect("memory reads"));
    accounts.allow_reset(&stage.user).await.expect("memory writes");
    assert!(may().await.expect("memory reads"));
    accounts.reset_done(&stage.user).await.expect("memory writes");
    assert!(!may().await.expect("memory reads"));
    accounts.allow_reset(&stage.user).await.expect("memory writes");
    stage.world.advance(10 * 60);
    assert!(!may().await.expect("memory reads"));
}

#[tokio::test]
async fn secrets_of_oauth_are_stored_as_hashes_only() {
    let stage = Stage::new().await;
    let code = stage.code("D").await;
    let session = stage.redeem(&code).await.expect("the code is good");
    let cookie = open(&stage).await;
    let accounts = &stage.world.accounts;
    let grant = accounts.start_device_grant(&stage.client.id, &scope("TV")).await.expect("good");
    let dump = stage.world.dump().await;
    let family = refresh_token(&session).split_once('.').expect("a family").0;
    let family = &family[family.len() - 24..];
    for secret in [
        code.reveal(),
        session.issued.access_token.reveal(),
        refresh_token(&session),
        cookie.reveal(),
        grant.device_code.reveal(),
    ] {
        assert!(!dump.contains(secret));
        let random = &secret[secret.len() - 40..];
        assert!(!dump.contains(random), "{random}");
    }
    assert!(!dump.contains(family));
}
