//! An identity provider on a socket, which says what the test wants.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use blaupause_data::Env;
use blaupause_sso::SigningKey;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::browser::{form, parameter};

pub const CLIENT: &str = "matrix";
pub const SECRET: &str = "a secret: of the client";
/// Test keys: they guard nothing.
const RSA: &str = include_str!("../../../sso/src/tests/rsa.pem");
const P256: &str = include_str!("../../../sso/src/tests/p256.pem");
const JWKS: &str = include_str!("../../../sso/src/tests/jwks.json");

/// A provider; ends with the test.
pub struct Provider {
    pub issuer: String,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    issuer: String,
    /// Claims and challenge by code.
    codes: HashMap<String, (Value, String)>,
    /// What is said instead of a token that was signed as it should be.
    forged: Option<String>,
    /// The keys that are shown.
    jwks: Value,
    /// What userinfo says.
    userinfo: Value,
    keys_asked: usize,
    is_away: bool,
}

type Shared = State<Arc<Mutex<Inner>>>;

impl Provider {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let issuer = format!("http://{}/realms/amt", listener.local_addr().expect("an address"));
        let inner = Arc::new(Mutex::new(Inner {
            issuer: issuer.clone(),
            codes: HashMap::new(),
            forged: None,
            jwks: serde_json::from_str(JWKS).expect("JSON"),
            userinfo: json!({}),
            keys_asked: 0,
            is_away: false,
        }));
        let router = Router::new()
            .route("/realms/amt/.well-known/openid-configuration", get(discovery))
            .route("/certs", get(certs))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .with_state(Arc::clone(&inner));
        Env::manual(0).spawn(async move { axum::serve(listener, router).await });
        Self { issuer, inner }
    }

    /// The claims of somebody, at a time in milliseconds.
    pub fn claims(&self, subject: &str, name: &str, now_ms: u64) -> Value {
        json!({
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": subject,
            "preferred_username": name,
            "name": format!("Name of {name}"),
            "sid": format!("session of {subject}"),
            "iat": now_ms / 1000,
            "exp": now_ms / 1000 + 300,
            "auth_time": now_ms / 1000,
        })
    }

    /// Sign somebody in who was sent to `url`; answers where the browser goes then, on our server.
    /// The nonce is added unless the claims have one.
    pub fn sign_in(&self, url: &str, mut claims: Value) -> String {
        let must = |name: &str| parameter(url, name).unwrap_or_else(|| panic!("{name} in {url}"));
        assert!(url.starts_with(self.issuer.trim_end_matches("realms/amt")), "{url}");
        assert_eq!(must("response_type"), "code");
        assert_eq!(must("client_id"), CLIENT);
        assert_eq!(must("code_challenge_method"), "S256");
        assert!(must("scope").starts_with("openid"));
        if claims.get("nonce").is_none() {
            claims["nonce"] = must("nonce").into();
        }
        let code = format!("code for {}", must("state"));
        self.inner.lock().codes.insert(code.clone(), (claims, must("code_challenge")));
        let path = must("redirect_uri").replace("https://matrix.example.org", "");
        let answer = [("code", code.as_str()), ("state", &must("state")), ("iss", &self.issuer)];
        format!("{path}?{}", form(&answer))
    }

    /// From now on, this instead of a token.
    pub fn forge(&self, token: Option<String>) {
        self.inner.lock().forged = token;
    }

    pub fn set_userinfo(&self, userinfo: Value) {
        self.inner.lock().userinfo = userinfo;
    }

    /// Show these keys.
    pub fn set_keys(&self, jwks: Value) {
        self.inner.lock().jwks = jwks;
    }

    pub fn keys_asked(&self) -> usize {
        self.inner.lock().keys_asked
    }

    pub fn set_away(&self, is_away: bool) {
        self.inner.lock().is_away = is_away;
    }

    pub fn sign(&self, kind: &str, claims: &Value) -> String {
        signed(RSA, "rsa", kind, claims)
    }
}

/// All keys of the provider.
pub fn jwks() -> Value {
    serde_json::from_str(JWKS).expect("JSON")
}

fn signed(key: &str, id: &str, kind: &str, claims: &Value) -> String {
    let key = SigningKey::from_pem(key, Some(id.to_owned())).expect("a private key");
    key.sign(kind, claims).expect("it signs")
}

/// Signed with the other key.
pub fn signed_by_ec(id: &str, claims: &Value) -> String {
    signed(P256, id, "JWT", claims)
}

/// Not signed at all.
pub fn unsigned(claims: &Value) -> String {
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", encoded(&json!({ "alg": "none" })), encoded(claims))
}

async fn discovery(State(inner): Shared) -> Response {
    let inner = inner.lock();
    if inner.is_away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let base = inner.issuer.trim_end_matches("/realms/amt").to_owned();
    Json(json!({
        "issuer": inner.issuer,
        "authorization_endpoint": format!("{base}/auth?kept=1"),
        "token_endpoint": format!("{base}/token"),
        "userinfo_endpoint": format!("{base}/userinfo"),
        "jwks_uri": format!("{base}/certs"),
        "authorization_response_iss_parameter_supported": true,
    }))
    .into_response()
}

async fn certs(State(inner): Shared) -> Response {
    let mut inner = inner.lock();
    inner.keys_asked += 1;
    if inner.is_away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    Json(inner.jwks.clone()).into_response()
}

async fn token(State(inner): Shared, headers: HeaderMap, body: String) -> Response {
    let sent: HashMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let refused =
        |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    let escaped = form(&[(CLIENT, SECRET)]).replacen('=', ":", 1).replace("%20", "+");
    let wanted = format!("Basic {}", STANDARD.encode(escaped));
    if headers.get("authorization").is_none_or(|value| value != wanted.as_str()) {
        return refused("invalid_client");
    }
    let mut inner = inner.lock();
    let Some((claims, challenge)) = inner.codes.remove(&sent["code"]) else {
        return refused("invalid_grant");
    };
    if URL_SAFE_NO_PAD.encode(Sha256::digest(&sent["code_verifier"])) != challenge {
        return refused("invalid_grant");
    }
    let id_token = inner.forged.clone().unwrap_or_else(|| signed(RSA, "rsa", "JWT", &claims));
    let answer = json!({ "access_token": "at", "token_type": "Bearer", "id_token": id_token });
    Json(answer).into_response()
}

async fn userinfo(State(inner): Shared, headers: HeaderMap) -> Response {
    if headers.get("authorization").is_none_or(|value| value != "Bearer at") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Json(inner.lock().userinfo.clone()).into_response()
}
