//! From a server's name to where it is (spec: server-server API, "Resolving server names").

use std::{
    collections::HashMap, future::Future, net::IpAddr, num::NonZeroUsize, sync::Arc, time::Duration,
};

use blaupause_data::Env;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};
use url::Url;

use crate::{
    WireError,
    dns::PORT,
    well_known::{delegated, lifetime, pause},
};

/// Servers whose documents are remembered.
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("is not 0");
/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// A document that leads to a place where nobody answers is asked for again after this.
const DOUBTED_AFTER: Duration = Duration::from_secs(10 * 60);

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Host of the URL, which the certificate must be for; IPv6 in brackets.
    pub host: String,
    /// `None`: what DNS announces for the host, or the usual port.
    pub port: Option<u16>,
    /// For the `Host` header.
    pub name: String,
}

impl Target {
    fn literal_or_port(name: &ServerName) -> Option<Self> {
        let (host, port) = (name.host().to_owned(), name.port());
        let port = if literal(&host).is_some() { Some(port.unwrap_or(PORT)) } else { port };
        port.map(|port| Self { host, port: Some(port), name: name.to_string() })
    }

    fn announced(name: &ServerName) -> Self {
        Self { host: name.host().to_owned(), port: None, name: name.to_string() }
    }

    /// The address, if the name is one: nobody looks it up, so nobody else checks it.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        literal(&self.host)
    }
}

pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Documents of other servers.
pub(crate) struct Discovery {
    env: Env,
    cached: Mutex<LruCache<OwnedServerName, Cached>>,
    /// One at a time asks a server.
    gates: Mutex<HashMap<OwnedServerName, Arc<tokio::sync::Mutex<()>>>>,
}

/// What a server said.
#[derive(Clone, Default)]
struct Cached {
    delegated: Option<OwnedServerName>,
    asked_ms: u64,
    until_ms: u64,
    failures: u32,
}

impl Discovery {
    pub(crate) fn new(env: Env) -> Self {
        Self { env, cached: Mutex::new(LruCache::new(CACHED_MAX)), gates: Mutex::default() }
    }

    /// Where a server is. `get` fetches a URL without following redirects.
    pub(crate) async fn target<F, G>(&self, server: &ServerName, get: G) -> Target
    where
        G: Fn(Url) -> F,
        F: Future<Output = Result<Response<Bytes>, WireError>>,
    {
        if let Some(target) = Target::literal_or_port(server) {
            return target;
        }
        match self.delegation(server, get).await {
            Some(to) => Target::literal_or_port(&to).unwrap_or_else(|| Target::announced(&to)),
            None => Target::announced(server),
        }
    }

    async fn delegation<F, G>(&self, server: &ServerName, get: G) -> Option<OwnedServerName>
    where
        G: Fn(Url) -> F,
        F: Future<Output = Result<Response<Bytes>, WireError>>,
    {
        if let Some(fresh) = self.fresh(server) {
            return fresh.delegated;
        }
        let gate = Arc::clone(self.gates.lock().entry(server.to_owned()).or_default());
        let turn = gate.lock().await;
        if let Some(fresh) = self.fresh(server) {
            return fresh.delegated;
        }
        let told = ask(server, get).await;
        let cached = self.learn(server, told);
        drop(turn);
        let mut gates = self.gates.lock();
        // Ours and the map's: nobody else waits.
        if Arc::strong_count(&gate) <= 2 {
            gates.remove(server);
        }
        cached
    }

    fn fresh(&self, server: &ServerName) -> Option<Cached> {
        let now_ms = self.env.now_millis();
        self.cached.lock().get(server).filter(|cached| now_ms < cached.until_ms).cloned()
    }

    /// Remember what was told. A server that told something before, and cannot be asked now, is
    /// taken at its old word.
    fn learn(&self, server: &ServerName, told: Told) -> Option<OwnedServerName> {
        let now_ms = self.env.now_millis();
        let mut all = self.cached.lock();
        let cached = all.get_or_insert_mut(server.to_owned(), Cached::default);
        let lifetime = match told {
            Told::Server(name, lifetime) => {
                cached.delegated = Some(name);
                cached.failures = 0;
                lifetime
            }
            Told::Nothing => {
                cached.delegated = None;
                cached.failures = cached.failures.saturating_add(1);
                pause(cached.failures)
            }
            Told::NoAnswer => {
                cached.failures = cached.failures.saturating_add(1);
                pause(cached.failures)
            }
        };
        cached.asked_ms = now_ms;
        cached.until_ms = now_ms.saturating_add(millis(lifetime));
        cached.delegated.clone()
    }

    /// Nobody answers where the document leads: it may be out of date.
    pub(crate) fn doubt(&self, server: &ServerName) {
        if let Some(cached) = self.cached.lock().peek_mut(server) {
            let until_ms = cached.asked_ms.saturating_add(millis(DOUBTED_AFTER));
            cached.until_ms = cached.until_ms.min(until_ms);
        }
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

/// What became of asking.
enum Told {
    Server(OwnedServerName, Duration),
    /// There is no document, or it is none.
    Nothing,
    /// Nobody answered, or only a proxy did.
    NoAnswer,
}

async fn ask<F, G>(server: &ServerName, get: G) -> Told
where
    G: Fn(Url) -> F,
    F: Future<Output = Result<Response<Bytes>, WireError>>,
{
    let url = format!("https://{}/.well-known/matrix/server", server.host());
    let Ok(mut url) = Url::parse(&url) else { return Told::Nothing };
    for _ in 0..=REDIRECTS_MAX {
        let answer = match get(url.clone()).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%server, %error, "no well-known document");
                return if error == WireError::TooLarge { Told::Nothing } else { Told::NoAnswer };
            }
        };
        match answer.status() {
            StatusCode::OK => {
                let named = delegated(answer.body());
                return named
                    .map_or(Told::Nothing, |name| Told::Server(name, lifetime(answer.headers())));
            }
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => {
                let to = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
                match to.and_then(|to| url.join(to).ok()).filter(|to| to.scheme() == "https") {
                    Some(next) => url = next,
                    None => return Told::Nothing,
                }
            }
            status if status.is_server_error() => return Told::NoAnswer,
            _ => return Told::Nothing,
        }
    }
    Told::Nothing
}

#[cfg(test)]
mod tests;
