//! Several whole servers in one process, and the network between them: a request of one is handed
//! to the router of the other. Links can be cut and held, and everything that passes is noted.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body};
use blaupause_data::Env;
use blaupause_federation::{CallLimits, Exchange, Settings, Wire, WireError};
use blaupause_policy::ServerPolicy;
use blaupause_store::MemStore;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use ruma::{OwnedServerName, ServerName};
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt;

use crate::server::{Federated, More, Server, settings};

/// Where the clock of all starts.
pub const START_MS: u64 = 1_700_000_000_000;

/// The network. Cheap to clone.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Mutex<Inner>>,
    /// The time of all servers.
    pub env: Env,
    /// Servers tell each other who is online and what they publish.
    pub is_open: bool,
}

#[derive(Default)]
struct Inner {
    routers: HashMap<OwnedServerName, Router>,
    cut: HashSet<(OwnedServerName, OwnedServerName)>,
    held: HashMap<(OwnedServerName, OwnedServerName), watch::Receiver<()>>,
    passed: Vec<Passed>,
    altered: Vec<Altered>,
}

/// What a server's answers are turned into.
struct Altered {
    by: OwnedServerName,
    /// Part of the path.
    path: String,
    how: How,
}

type How = Arc<dyn Fn(&mut StatusCode, &mut Value) + Send + Sync>;

/// A request that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    pub from: OwnedServerName,
    pub to: OwnedServerName,
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// `None`: there was no answer (yet).
    pub status: Option<u16>,
}

/// Holds up requests until it is dropped.
#[must_use]
pub struct Held(#[expect(dead_code, reason = "its end is what counts")] watch::Sender<()>);

impl Network {
    /// Nobody yet.
    pub fn new() -> Self {
        Self { inner: Arc::default(), env: Env::manual(START_MS), is_open: true }
    }

    /// A new server that speaks with everybody.
    pub async fn server(&self, name: &str) -> Server {
        let settings = Settings { servers: ServerPolicy::open(), ..Settings::default() };
        self.server_with(name, settings).await
    }

    /// A new server.
    pub async fn server_with(&self, name: &str, federation: Settings) -> Server {
        self.server_over(name, federation, MemStore::new()).await
    }

    /// A server whose store is there already: as after a restart. It takes the place of the one
    /// with its name.
    pub async fn server_over(&self, name: &str, federation: Settings, store: MemStore) -> Server {
        self.server_of(name, federation, store, Default::default()).await
    }

    /// A server that joins rooms before their members are known. Nothing asks for them but
    /// [`blaupause_rooms::Rooms::resync`].
    pub async fn fast_server(&self, name: &str, store: MemStore) -> Server {
        let federation = Settings { servers: ServerPolicy::open(), ..Settings::default() };
        let rooms = blaupause_rooms::Settings { faster_joins: true, ..Default::default() };
        self.server_of(name, federation, store, rooms).await
    }

    async fn server_of(
        &self,
        name: &str,
        federation: Settings,
        store: MemStore,
        rooms: blaupause_rooms::Settings,
    ) -> Server {
        let name = ServerName::parse(name).expect("a server name");
        let wire = Arc::new(Link { network: self.clone(), from: name.clone() });
        let federated = Federated::With {
            name: name.clone(),
            env: self.env.clone(),
            wire,
            settings: Box::new(federation),
        };
        let rooms = blaupause_rooms::Settings {
            presence_over_federation: self.is_open,
            directory_over_federation: self.is_open,
            ..rooms
        };
        let more = More { federated, rooms, ..More::default() };
        let (api, notify) = (Default::default(), Default::default());
        let server = Server::over_with(store, settings(), api, notify, more).await;
        self.inner().routers.insert(name, server.router.clone());
        server
    }

    /// Whoever answers under this name from now on.
    pub fn connect(&self, name: &ServerName, router: Router) {
        self.inner().routers.insert(name.to_owned(), router);
    }

    /// A server is no longer there.
    pub fn disconnect(&self, name: &ServerName) {
        self.inner().routers.remove(name);
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics with it")
    }

    /// Nothing passes between two servers, in both directions.
    pub fn cut(&self, a: &Server, b: &Server) {
        let (a, b) = (name(a), name(b));
        self.inner().cut.extend([(a.clone(), b.clone()), (b, a)]);
    }

    /// The link works again.
    pub fn mend(&self, a: &Server, b: &Server) {
        let (a, b) = (name(a), name(b));
        let mut inner = self.inner();
        inner.cut.remove(&(a.clone(), b.clone()));
        inner.cut.remove(&(b, a));
    }

    /// Requests from one server to another wait until what is answered here is dropped.
    pub fn hold(&self, from: &Server, to: &Server) -> Held {
        let (held, gate) = watch::channel(());
        self.inner().held.insert((name(from), name(to)), gate);
        Held(held)
    }

    /// Answers of a server to requests whose path contains this are altered: the server is hostile.
    /// Replaces what was said before about the same path.
    pub fn alter(&self, by: &Server, path: &str, how: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.alter_all(by, path, move |_, body| how(body));
    }

    /// The same, the status too.
    pub fn alter_all(
        &self,
        by: &Server,
        path: &str,
        how: impl Fn(&mut StatusCode, &mut Value) + Send + Sync + 'static,
    ) {
        let (by, path) = (name(by), path.to_owned());
        let mut inner = self.inner();
        inner.altered.retain(|one| (&one.by, &one.path) != (&by, &path));
        inner.altered.push(Altered { by, path, how: Arc::new(how) });
    }

    /// The answer as its receiver gets it.
    fn altered(&self, by: &ServerName, path: &str, status: &mut StatusCode, body: Bytes) -> Bytes {
        let how: Vec<_> = {
            let inner = self.inner();
            let fit = inner.altered.iter().filter(|one| one.by == by && path.contains(&one.path));
            fit.map(|one| Arc::clone(&one.how)).collect()
        };
        let parsed = serde_json::from_slice::<Value>(&body).ok().filter(|_| !how.is_empty());
        let Some(mut json) = parsed else { return body };
        how.iter().for_each(|how| how(status, &mut json));
        json.to_string().into()
    }

    /// Everything that was sent, oldest first.
    pub fn passed(&self) -> Vec<Passed> {
        self.inner().passed.clone()
    }

    /// How often this server was sent something whose path contains this.
    pub fn count(&self, to: &Server, path: &str) -> usize {
        let to = name(to);
        self.inner().passed.iter().filter(|one| one.to == to && one.path.contains(path)).count()
    }

    async fn pass(
        &self,
        from: &ServerName,
        to: &ServerName,
        request: Request<Bytes>,
        limits: CallLimits,
    ) -> Result<Response<Bytes>, WireError> {
        let path = request.uri().to_string();
        assert!(path.starts_with('/'), "the wire gets path and query: {path}");
        let passed = Passed {
            from: from.to_owned(),
            to: to.to_owned(),
            method: request.method().clone(),
            path: path.clone(),
            status: None,
        };
        let link = (from.to_owned(), to.to_owned());
        let (at, gate, router) = {
            let mut inner = self.inner();
            inner.passed.push(passed);
            let at = inner.passed.len() - 1;
            let router = inner.routers.get(to).filter(|_| !inner.cut.contains(&link)).cloned();
            (at, inner.held.get(&link).cloned(), router)
        };
        if let Some(mut gate) = gate {
            // Ends with an error when the other end is dropped.
            let _ = gate.changed().await;
        }
        let router = router.ok_or_else(|| WireError::Unreachable("there is no way".to_owned()))?;
        let answer = router.oneshot(request.map(Body::from)).await.expect("the router answers");
        self.inner().passed[at].status = Some(answer.status().as_u16());
        let (mut parts, body) = answer.into_parts();
        let body = Limited::new(body, limits.answer_bytes).collect().await;
        let body = body.map_err(|_| WireError::TooLarge)?.to_bytes();
        let body = self.altered(to, &path, &mut parts.status, body);
        if body.len() > limits.answer_bytes {
            return Err(WireError::TooLarge);
        }
        // Its length may be another one now.
        parts.headers.remove(http::header::CONTENT_LENGTH);
        Ok(Response::from_parts(parts, body))
    }
}

fn name(server: &Server) -> OwnedServerName {
    server.data.server_name().to_owned()
}

/// The network as one server sees it.
struct Link {
    network: Network,
    from: OwnedServerName,
}

impl Wire for Link {
    fn exchange<'a>(
        &'a self,
        to: &'a ServerName,
        request: Request<Bytes>,
        limits: CallLimits,
    ) -> Exchange<'a> {
        Box::pin(async move {
            let passing = self.network.pass(&self.from, to, request, limits);
            tokio::time::timeout(limits.time, passing).await.map_err(|_| WireError::TimedOut)?
        })
    }
}
