//! A server in memory and a client for it.

use std::sync::Arc;

use axum::{Router, body::Body};
use blaupause_accounts::{Accounts, Argon2Cost, NewAccount, RegistrationMode, Secret};
use blaupause_api::{App, HttpMetrics, OAuth, Parts, Settings, Turn, TurnLogin, WellKnown};
use blaupause_data::{Data, Db, Env};
use blaupause_e2ee::E2ee;
use blaupause_federation::{CallLimits, Exchange, Federation, Wire, WireError};
use blaupause_media::{Media, PreviewSettings, Previews};
use blaupause_notify::{Notify, ServicePauses, Services};
use blaupause_outbound::{Outbound, OutboundSettings};
use blaupause_rooms::Rooms;
use blaupause_sso::Sso;
use blaupause_store::MemStore;
use blaupause_sync::Sync;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use ruma::{OwnedServerName, ServerName, server_name};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

/// Everybody's password.
pub const PASSWORD: &str = "correct horse";

/// Where the clock starts.
const START_MS: u64 = 1_700_000_000_000;

/// A server in memory.
pub struct Server {
    pub router: Router,
    pub accounts: Accounts,
    pub rooms: Rooms,
    pub data: Data,
    pub registry: Registry,
    pub store: MemStore,
    pub services: Services,
    pub notify: Notify,
    pub federation: Federation,
    pub e2ee: E2ee,
    media_folder: TempDir,
}

/// What only few tests set up.
#[derive(Default)]
pub struct More {
    pub federated: Federated,
    pub rooms: blaupause_rooms::Settings,
    pub previews: Option<(PreviewSettings, OutboundSettings)>,
    pub sso: blaupause_sso::Settings,
    /// The folder is always one of its own.
    pub media: blaupause_media::Settings,
    /// For files that other servers keep elsewhere.
    pub elsewhere: OutboundSettings,
}

/// The server's place among others.
#[derive(Default)]
pub enum Federated {
    /// There are no others.
    Off,
    /// Federation is on, and nobody is on the list.
    #[default]
    WithNobody,
    /// Under a name, over a network, in its time.
    With {
        name: OwnedServerName,
        env: Env,
        wire: Arc<dyn Wire>,
        settings: Box<blaupause_federation::Settings>,
    },
}

impl Federated {
    fn place(&self) -> (OwnedServerName, Env) {
        match self {
            Self::With { name, env, .. } => (name.clone(), env.clone()),
            Self::Off | Self::WithNobody => {
                (server_name!("example.org").to_owned(), Env::manual(START_MS))
            }
        }
    }

    fn handle(self, data: &Data) -> Federation {
        match self {
            Self::Off => Federation::off(data.clone()),
            Self::WithNobody => {
                let settings = blaupause_federation::Settings::default();
                Federation::new(data.clone(), Arc::new(Cut), settings)
            }
            Self::With { wire, settings, .. } => Federation::new(data.clone(), wire, *settings),
        }
    }
}

/// A network without anybody.
struct Cut;

impl Wire for Cut {
    fn exchange<'a>(&'a self, _: &'a ServerName, _: Request<Bytes>, _: CallLimits) -> Exchange<'a> {
        Box::pin(async { Err(WireError::Unreachable("there is no network".to_owned())) })
    }
}

/// An answer: status and JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    /// The error code; `""` if there is none.
    pub fn code(&self) -> &str {
        self.body["errcode"].as_str().unwrap_or_default()
    }

    /// The body of a 200.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.body
    }

    /// Another status with this code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{}", self.body);
    }

    /// A challenge; answers its session.
    #[track_caller]
    pub fn session(&self) -> String {
        assert_eq!(self.status, StatusCode::UNAUTHORIZED, "{}", self.body);
        self.body["session"].as_str().expect("a challenge has a session").to_owned()
    }
}

/// Settings for tests: registration is open, passwords are cheap.
pub fn settings() -> blaupause_accounts::Settings {
    blaupause_accounts::Settings {
        registration: RegistrationMode::Open,
        argon2: Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 },
        ..Default::default()
    }
}

/// Settings with which a server offers everything that needs nobody else.
pub fn full_settings() -> (blaupause_accounts::Settings, Settings, blaupause_notify::Settings) {
    let base_url = "https://matrix.example.org".to_owned();
    let api = Settings {
        well_known: WellKnown {
            client_base_url: Some(base_url.clone()),
            server: Some("matrix.example.org:443".to_owned()),
            support: Some(json!({ "support_page": "https://example.org/help" })),
            ..Default::default()
        },
        oauth: Some(OAuth { base_url }),
        turn: Some(Turn {
            uris: vec!["turn:turn.example.org".to_owned()],
            ttl_seconds: 3600,
            login: TurnLogin::Shared(Secret::new("a relay's secret".to_owned())),
        }),
        legacy_media: true,
        account_status: true,
        ..Default::default()
    };
    let accounts = blaupause_accounts::Settings { guests: true, ..settings() };
    let notify = blaupause_notify::Settings { thread_subscriptions: true, ..Default::default() };
    (accounts, api, notify)
}

/// Rooms with everything that operators can switch on.
pub fn full_rooms() -> blaupause_rooms::Settings {
    let retention = blaupause_rooms::Retention {
        default_ms: None,
        min_ms: 1,
        max_ms: None,
        pause: std::time::Duration::from_secs(60),
    };
    blaupause_rooms::Settings { retention: Some(retention), ..Default::default() }
}

impl Server {
    pub async fn new() -> Self {
        Self::with(settings()).await
    }

    pub async fn with(settings: blaupause_accounts::Settings) -> Self {
        Self::with_api(settings, Settings::default()).await
    }

    /// A server whose HTTP side is set up in another way, too.
    pub async fn with_api(settings: blaupause_accounts::Settings, api: Settings) -> Self {
        Self::build(settings, api, Default::default()).await
    }

    /// A server with other notifications.
    pub async fn with_notify(notify: blaupause_notify::Settings) -> Self {
        Self::build(settings(), Settings::default(), notify).await
    }

    /// A server that offers everything that operators can switch on.
    pub async fn full() -> Self {
        let (accounts, api, notify) = full_settings();
        Self::build(accounts, api, notify).await
    }

    async fn build(
        settings: blaupause_accounts::Settings,
        api: Settings,
        notify: blaupause_notify::Settings,
    ) -> Self {
        Self::over(MemStore::new(), settings, api, notify).await
    }

    /// The server as it is after a restart: what is stored, and nothing in memory.
    pub async fn restarted(&self) -> Self {
        let store = self.store.copy();
        Self::over(store, settings(), Settings::default(), Default::default()).await
    }

    /// The same, with other notifications.
    pub async fn restarted_with_notify(&self, notify: blaupause_notify::Settings) -> Self {
        Self::over(self.store.copy(), settings(), Settings::default(), notify).await
    }

    /// The same, with settings of its own.
    pub async fn restarted_as(&self, settings: blaupause_accounts::Settings) -> Self {
        Self::over(self.store.copy(), settings, Settings::default(), Default::default()).await
    }

    /// A server at which people sign in elsewhere, too.
    pub async fn with_sso(
        settings: blaupause_accounts::Settings,
        api: Settings,
        sso: blaupause_sso::Settings,
    ) -> Self {
        let more = More { sso, ..More::default() };
        Self::over_with(MemStore::new(), settings, api, Default::default(), more).await
    }

    /// A server whose rooms and previews are set up in another way.
    pub async fn with_more(more: More) -> Self {
        let (settings, api) = (settings(), Settings::default());
        Self::over_with(MemStore::new(), settings, api, Default::default(), more).await
    }

    async fn over(
        store: MemStore,
        settings: blaupause_accounts::Settings,
        api: Settings,
        notify: blaupause_notify::Settings,
    ) -> Self {
        Self::over_with(store, settings, api, notify, More::default()).await
    }

    pub async fn over_with(
        store: MemStore,
        settings: blaupause_accounts::Settings,
        api: Settings,
        notify: blaupause_notify::Settings,
        more: More,
    ) -> Self {
        let (name, env) = more.federated.place();
        let db = Db::Mem(store.clone());
        let data = Data::open(db, &name, env).await.expect("an empty store");
        let accounts = Accounts::new(data.clone(), settings);
        let federation = more.federated.handle(&data);
        let rooms = Rooms::new(data.clone(), accounts.clone(), federation.clone(), more.rooms);
        let e2ee = E2ee::new(data.clone(), accounts.clone(), federation.clone());
        let folder = tempfile::tempdir().expect("a folder");
        let media_settings = blaupause_media::Settings {
            path: folder.path().to_owned(),
            // Whatever disk the tests have.
            free_bytes_min: 0,
            ..more.media
        };
        let elsewhere = Outbound::new(more.elsewhere).expect("certificates");
        let media = Media::open(data.clone(), federation.clone(), elsewhere, media_settings)
            .await
            .expect("the folder can be written");
        let previews = more.previews.map(|(settings, outbound)| {
            let outbound = Outbound::new(outbound).expect("the system's certificates");
            Previews::new(media.clone(), settings, outbound)
        });
        let notify = Notify::with(data.clone(), accounts.clone(), rooms.clone(), notify);
        let sync =
            Sync::new(data.clone(), accounts.clone(), rooms.clone(), e2ee.clone(), notify.clone());
        let outbound = Outbound::new(OutboundSettings::default()).expect("certificates");
        let pauses = ServicePauses {
            first: std::time::Duration::from_millis(1),
            longest: std::time::Duration::from_millis(20),
        };
        let services = Services::new(
            data.clone(),
            accounts.clone(),
            rooms.clone(),
            e2ee.clone(),
            pauses,
            outbound,
        );
        services.start().await.expect("the memory can be written");
        let outbound = Outbound::new(OutboundSettings::default()).expect("certificates");
        let sso = Sso::new(data.clone(), accounts.clone(), more.sso, &outbound);
        let mut registry = Registry::default();
        let metrics = HttpMetrics::register(&mut registry);
        let app = App::new(Parts {
            data: data.clone(),
            accounts: accounts.clone(),
            federation: federation.clone(),
            rooms: rooms.clone(),
            e2ee: e2ee.clone(),
            media,
            sync,
            notify: notify.clone(),
            services: services.clone(),
            previews,
            sso,
            settings: api,
            metrics,
        });
        Self {
            router: blaupause_api::router(app),
            accounts,
            rooms,
            data,
            registry,
            store,
            services,
            notify,
            federation,
            e2ee,
            media_folder: folder,
        }
    }

    /// Files that are not whole.
    pub fn incoming_files(&self) -> usize {
        let folder = self.media_folder.path().join("incoming");
        std::fs::read_dir(folder).expect("the folder reads").count()
    }

    /// Send a request as it is.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("the router answers");
        let status = response.status();
        let body = response.into_body().collect().await.expect("the body is in memory").to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Answer { status, body }
    }

    /// A request with JSON or without a body, perhaps with an access token. Paths are under
    /// `/_matrix/client`, unless they start with `/_`.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        let path =
            if path.starts_with("/_") { path.to_owned() } else { format!("/_matrix/client{path}") };
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).expect("a request")).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.call(Method::GET, path, Some(token), None).await
    }

    pub async fn put(&self, path: &str, token: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(token), Some(body)).await
    }

    pub async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(token), Some(body)).await
    }

    /// A request of nobody.
    pub async fn post_open(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, None, Some(body)).await
    }

    /// A new user who is signed in.
    pub async fn user(&self, name: &str) -> Client<'_> {
        let new = NewAccount {
            localpart: name.to_owned(),
            password: Some(Secret::new(PASSWORD.to_owned())),
            admin: false,
        };
        self.accounts.create(new).await.expect("the name is free");
        self.sign_in(name).await
    }

    /// One more session of a user.
    pub async fn sign_in(&self, name: &str) -> Client<'_> {
        let body = password_login(name, PASSWORD);
        let answer = self.post_open("/v3/login", body).await.ok();
        let text = |key: &str| answer[key].as_str().expect("a login answers with it").to_owned();
        Client {
            server: self,
            id: text("user_id"),
            token: text("access_token"),
            device: text("device_id"),
        }
    }
}

/// The body of a login.
pub fn password_login(name: &str, password: &str) -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": name },
        "password": password,
    })
}

/// The `auth` of somebody who proves who they are.
pub fn password_auth(name: &str, session: &str) -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": name },
        "password": PASSWORD,
        "session": session,
    })
}

/// A session of a user.
pub struct Client<'s> {
    pub server: &'s Server,
    pub id: String,
    pub token: String,
    pub device: String,
}

impl Client<'_> {
    pub async fn get(&self, path: &str) -> Answer {
        self.server.get(path, &self.token).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.server.put(path, &self.token, body).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.server.post(path, &self.token, body).await
    }

    pub async fn delete(&self, path: &str, body: Option<Value>) -> Answer {
        self.server.call(Method::DELETE, path, Some(&self.token), body).await
    }

    /// Whether the access token is good.
    pub async fn works(&self) -> bool {
        self.get("/v3/account/whoami").await.status == StatusCode::OK
    }
}
