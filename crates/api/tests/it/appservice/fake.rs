//! An application service that writes down what it is told and says what the test wants.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use axum::{Json, Router, extract::State, response::IntoResponse};
use blaupause_accounts::{
    AppService, AppServices, Encryption, Ephemeral, Namespace, Namespaces, Secret,
    ServiceRegistration,
};
use blaupause_data::Env;
use http::{HeaderMap, Method, StatusCode, Uri};
use parking_lot::Mutex;
use ruma::server_name;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

use crate::server::{Server, settings};

/// Longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// By which the service proves itself, and the server to it.
pub const AS_TOKEN: &str = "as-secret";
pub const HS_TOKEN: &str = "hs-secret";

/// A request that the service got.
#[derive(Clone, Debug)]
pub struct Got {
    pub method: Method,
    /// With the query.
    pub path: String,
    pub body: Value,
}

impl Got {
    fn transaction(&self) -> Option<&str> {
        self.path.strip_prefix("/_matrix/app/v1/transactions/")
    }
}

#[derive(Default)]
struct Script {
    /// What the next transactions are answered; 200 when there is nothing left.
    transactions: VecDeque<StatusCode>,
    /// What other requests are answered, by method and path.
    answers: HashMap<(Method, String), (StatusCode, Value)>,
}

/// A running service.
pub struct Fake {
    url: String,
    script: Arc<Mutex<Script>>,
    got: mpsc::UnboundedReceiver<Got>,
    /// Requests with another token than the registration's.
    strangers: Arc<Mutex<usize>>,
}

#[derive(Clone)]
struct Desk {
    script: Arc<Mutex<Script>>,
    got: mpsc::UnboundedSender<Got>,
    strangers: Arc<Mutex<usize>>,
}

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (send, got) = mpsc::unbounded_channel();
        let script = Arc::new(Mutex::new(Script::default()));
        let strangers = Arc::new(Mutex::new(0));
        let desk =
            Desk { script: Arc::clone(&script), got: send, strangers: Arc::clone(&strangers) };
        let router = Router::new().fallback(answer).with_state(desk);
        Env::manual(0).spawn(async move { axum::serve(listener, router).await });
        Self { url, script, got, strangers }
    }

    /// Answer the next transactions so.
    pub fn next_transactions(&self, answers: &[u16]) {
        let answers = answers.iter().map(|code| StatusCode::from_u16(*code).expect("a status"));
        self.script.lock().transactions.extend(answers);
    }

    /// Take every transaction from now on.
    pub fn be_willing(&self) {
        self.script.lock().transactions.clear();
    }

    pub fn is_willing(&self) -> bool {
        self.script.lock().transactions.is_empty()
    }

    /// Answer a request so, each time.
    pub fn answers(&self, method: Method, path: &str, status: u16, body: Value) {
        let status = StatusCode::from_u16(status).expect("a status");
        self.script.lock().answers.insert((method, path.to_owned()), (status, body));
    }

    /// The next request.
    pub async fn next(&mut self) -> Got {
        let next = tokio::time::timeout(PATIENCE, self.got.recv()).await;
        next.expect("it is asked in time").expect("the service runs")
    }

    /// The next transaction: its id and its body. Other requests are passed over.
    pub async fn transaction(&mut self) -> (String, Value) {
        loop {
            let got = self.next().await;
            if let Some(id) = got.transaction() {
                assert_eq!(got.method, Method::PUT);
                return (id.to_owned(), got.body);
            }
        }
    }

    /// Transactions until something is in one of them; answers what was found. Those that come
    /// twice are looked at once.
    pub async fn until<T>(&mut self, find: impl Fn(&Value) -> Option<T>) -> T {
        loop {
            let (_, body) = self.transaction().await;
            if let Some(found) = find(&body) {
                return found;
            }
        }
    }

    /// Bodies of messages in the order in which the service learned of them, until the last one.
    /// A transaction that comes again counts once.
    pub async fn messages_until(&mut self, last: &str) -> Vec<String> {
        let mut seen = Vec::new();
        let mut messages = Vec::new();
        loop {
            let (id, body) = self.transaction().await;
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            messages.extend(messages_in(&body));
            if messages.iter().any(|message| message == last) {
                return messages;
            }
        }
    }

    pub fn strangers(&self) -> usize {
        *self.strangers.lock()
    }

    /// The service's registration: users `@_b_…`, aliases `#_b_…`, its own user `@bot`.
    pub fn registration(&self) -> ServiceRegistration {
        registration("bridge", AS_TOKEN, Some(self.url.clone()))
    }

    /// A server that knows the service.
    pub async fn server(&self) -> Running {
        self.server_with(self.registration()).await
    }

    pub async fn server_with(&self, registration: ServiceRegistration) -> Running {
        let accounts = || blaupause_accounts::Settings {
            services: services(vec![registration.clone()]),
            ..settings()
        };
        Running::new(Server::with(accounts()).await, accounts())
    }
}

pub fn registration(id: &str, as_token: &str, url: Option<String>) -> ServiceRegistration {
    let exclusive = |expression: &str| Namespace::new(expression, true).expect("an expression");
    ServiceRegistration {
        id: id.to_owned(),
        url,
        as_token: Secret::new(as_token.to_owned()),
        hs_token: Secret::new(HS_TOKEN.to_owned()),
        sender_localpart: "bot".to_owned(),
        namespaces: Namespaces {
            users: vec![exclusive("@_b_.*")],
            aliases: vec![exclusive("#_b_.*")],
            rooms: Vec::new(),
        },
        rate_limited: true,
        ephemeral: Ephemeral::Yes,
        protocols: vec!["irc".to_owned()],
        encryption: Encryption { device_lists: true, claims: true, queries: true },
    }
}

pub fn services(registrations: Vec<ServiceRegistration>) -> AppServices {
    let name = server_name!("example.org");
    let services = registrations
        .into_iter()
        .map(|registration| AppService::new(name, registration).expect("nothing is wrong"));
    AppServices::new(services.collect()).expect("they differ")
}

/// Bodies of the messages in a transaction.
pub fn messages_in(body: &Value) -> Vec<String> {
    let events = body["events"].as_array().expect("a transaction has events");
    let messages = events.iter().filter(|event| event["type"] == "m.room.message");
    messages.map(|event| event["content"]["body"].as_str().expect("a text").to_owned()).collect()
}

/// A server whose workers run, until it is killed.
pub struct Running {
    pub server: Server,
    workers: Vec<JoinHandle<()>>,
    settings: blaupause_accounts::Settings,
}

impl Running {
    fn new(server: Server, settings: blaupause_accounts::Settings) -> Self {
        let spawn = |worker| server.data.env().spawn(worker);
        let workers = server.services.workers().into_iter().map(spawn).collect();
        Self { server, workers, settings }
    }

    /// End in the middle of whatever it does, and start with what was stored.
    pub async fn killed(self) -> Self {
        self.workers.iter().for_each(JoinHandle::abort);
        let server = self.server.restarted_as(self.settings.clone()).await;
        Self::new(server, self.settings)
    }

    /// As the service, in the name of one of its users or of its own.
    pub async fn ask(&self, method: Method, path: &str, user: &str, body: Value) -> super::Answer {
        let path = match user {
            "" => path.to_owned(),
            user => {
                let mark = if path.contains('?') { '&' } else { '?' };
                format!("{path}{mark}user_id=@{user}:example.org")
            }
        };
        let body = (method != Method::GET).then_some(body);
        self.server.call(method, &path, Some(AS_TOKEN), body).await
    }

    /// A user of the service.
    pub async fn ghost(&self, name: &str) {
        let body = json!({
            "type": "m.login.application_service",
            "username": name,
            "inhibit_login": true,
        });
        self.ask(Method::POST, "/v3/register", "", body).await.ok();
    }

    /// A user of the service comes to a room that is open.
    pub async fn ghost_in(&self, name: &str, room: &str) {
        self.ghost(name).await;
        self.ask(Method::POST, &format!("/v3/join/{room}"), name, json!({})).await.ok();
    }
}

async fn answer(
    State(desk): State<Desk>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> axum::response::Response {
    let expected = format!("Bearer {HS_TOKEN}");
    if headers.get("authorization").is_none_or(|token| token != expected.as_str()) {
        *desk.strangers.lock() += 1;
        return StatusCode::FORBIDDEN.into_response();
    }
    let path = uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    let body = serde_json::from_str(&body).unwrap_or(Value::Null);
    let got = Got { method: method.clone(), path: path.clone(), body };
    let mut script = desk.script.lock();
    let answer = if got.transaction().is_some() {
        (script.transactions.pop_front().unwrap_or(StatusCode::OK), json!({}))
    } else {
        let known = script.answers.get(&(method, path)).cloned();
        known.unwrap_or((StatusCode::NOT_FOUND, json!({ "errcode": "M_UNRECOGNIZED" })))
    };
    drop(script);
    // The test may be over.
    let _ = desk.got.send(got);
    (answer.0, Json(answer.1)).into_response()
}
