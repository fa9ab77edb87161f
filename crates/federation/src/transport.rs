//! HTTPS to other servers.
//!
//! A URL without a port connects to what DNS announces for its host; one with a port connects
//! there. These are two clients, because the pool of connections knows a host and its port only.
//! What a stranger names (names, documents, records) must lead into a public network, or one that
//! the operator allows.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use blaupause_data::Env;
use blaupause_outbound::{AllowedNetworks, IdentityFiles, TlsSettings};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use parking_lot::RwLock;
use reqwest::Client;
use ruma::{OwnedServerName, ServerName};
use rustls::{ClientConfig, crypto::CryptoProvider};
use url::Url;

use crate::{
    Arriving, CallLimits, Exchange, Opening, Wire, WireError,
    discover::{Discovery, Target},
    dns::{Dns, Places, Ports},
};

/// Connections that wait for the next request to the same server, and how long.
const IDLE_PER_HOST: usize = 4;
const IDLE_MAX: Duration = Duration::from_secs(60);
/// What one step of looking for a well-known document may take.
const WELL_KNOWN: CallLimits =
    CallLimits { time: Duration::from_secs(10), answer_bytes: 50 * 1024 };

/// What connections to other servers look like.
#[derive(Clone, Debug)]
pub struct HttpsSettings {
    /// Told to others in `User-Agent`.
    pub user_agent: String,
    /// Where servers are that are not to be looked for: host and port. The certificate is still
    /// the one of the server's name.
    pub addresses: BTreeMap<OwnedServerName, (String, u16)>,
    /// Networks in which other servers may lie although they are not public.
    pub allowed_networks: AllowedNetworks,
    /// Whether the certificate authorities of this system are believed …
    pub trust_system_roots: bool,
    /// … and those in these PEM files.
    pub ca_files: Vec<PathBuf>,
    /// Who we are, for servers that want to see a certificate.
    pub identity: Option<IdentityFiles>,
    /// Ciphers and groups.
    pub crypto: CryptoProvider,
}

impl Default for HttpsSettings {
    fn default() -> Self {
        Self {
            user_agent: concat!("Blaupause/", env!("CARGO_PKG_VERSION")).to_owned(),
            addresses: BTreeMap::new(),
            allowed_networks: AllowedNetworks::default(),
            trust_system_roots: true,
            ca_files: Vec::new(),
            identity: None,
            crypto: rustls::crypto::ring::default_provider(),
        }
    }
}

/// Certificates that cannot be read, or none at all.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(String);

/// The network.
pub struct Https {
    dns: Dns,
    clients: RwLock<Arc<Clients>>,
    discovery: Discovery,
}

/// What follows from the settings, exchanged as a whole.
struct Clients {
    /// For URLs without a port.
    announced: Client,
    /// For URLs with one, and for well-known documents.
    given: Client,
    /// For servers whose place the operator named.
    fixed: BTreeMap<OwnedServerName, Client>,
    allowed: AllowedNetworks,
}

impl Clients {
    fn new(dns: &Dns, settings: &HttpsSettings) -> Result<Self, SetupError> {
        let tls = TlsSettings {
            system_roots: settings.trust_system_roots,
            ca_files: settings.ca_files.clone(),
            identity: settings.identity.clone(),
            crypto: settings.crypto.clone(),
        };
        let tls = tls.config().map_err(|error| SetupError(error.to_string()))?;
        let allowed = settings.allowed_networks.clone();
        let build = |ports: Ports| {
            let places = Places { dns: dns.clone(), allowed: allowed.clone(), ports };
            client(&settings.user_agent, tls.clone(), places)
        };
        let fixed = settings.addresses.iter().map(|(server, (host, port))| {
            Ok((server.clone(), build(Ports::Fixed(host.clone(), *port))?))
        });
        let fixed = fixed.collect::<Result<_, SetupError>>()?;
        let (announced, given) = (build(Ports::Announced)?, build(Ports::Given)?);
        Ok(Self { announced, given, fixed, allowed })
    }
}

impl Https {
    /// # Errors
    /// If certificates cannot be read, or nobody would be believed.
    pub fn new(env: Env, settings: &HttpsSettings) -> Result<Self, SetupError> {
        let dns = Dns::system();
        let clients = RwLock::new(Arc::new(Clients::new(&dns, settings)?));
        Ok(Self { dns, clients, discovery: Discovery::new(env) })
    }

    /// Other settings from now on: all files are read again. Requests under way end as they began;
    /// no later one uses their connections.
    ///
    /// # Errors
    /// As [`Https::new`]; nothing changes then.
    pub fn reload(&self, settings: &HttpsSettings) -> Result<(), SetupError> {
        let fresh = Arc::new(Clients::new(&self.dns, settings)?);
        *self.clients.write() = fresh;
        Ok(())
    }

    fn clients(&self) -> Arc<Clients> {
        Arc::clone(&self.clients.read())
    }

    async fn send(
        &self,
        to: &ServerName,
        request: Request<Bytes>,
        limits: CallLimits,
    ) -> Result<reqwest::Response, WireError> {
        let clients = self.clients();
        if let Some(client) = clients.fixed.get(to) {
            let target = Target { host: to.host().to_owned(), port: None, name: to.to_string() };
            return begin(client, finished(&target, request)?, limits).await;
        }
        let target = self.discovery.target(to, |url| self.document(url)).await;
        if target.literal().is_some_and(|address| !clients.allowed.allow(address)) {
            return Err(WireError::Unreachable(format!("{} is not allowed", target.host)));
        }
        let client = if target.port.is_some() { &clients.given } else { &clients.announced };
        let answer = begin(client, finished(&target, request)?, limits).await;
        if let Err(WireError::Unreachable(_)) = &answer {
            self.discovery.doubt(to);
        }
        answer
    }

    async fn document(&self, url: Url) -> Result<Response<Bytes>, WireError> {
        let clients = self.clients();
        let literal = url.host_str().and_then(crate::discover::literal);
        if literal.is_some_and(|address| !clients.allowed.allow(address)) {
            return Err(WireError::Unreachable(format!("{url} is not allowed")));
        }
        let request = reqwest::Request::new(http::Method::GET, url);
        whole(begin(&clients.given, request, WELL_KNOWN).await?, WELL_KNOWN).await
    }
}

impl Wire for Https {
    fn exchange<'a>(
        &'a self,
        to: &'a ServerName,
        request: Request<Bytes>,
        limits: CallLimits,
    ) -> Exchange<'a> {
        Box::pin(async move {
            let sent = async { whole(self.send(to, request, limits).await?, limits).await };
            tokio::time::timeout(limits.time, sent).await.map_err(|_| WireError::TimedOut)?
        })
    }

    fn open<'a>(
        &'a self,
        to: &'a ServerName,
        request: Request<Bytes>,
        limits: CallLimits,
    ) -> Opening<'a> {
        Box::pin(async move {
            let sent = tokio::time::timeout(limits.time, self.send(to, request, limits)).await;
            Arriving::http(sent.map_err(|_| WireError::TimedOut)??, limits.answer_bytes)
        })
    }
}

/// The request at its place.
fn finished(target: &Target, request: Request<Bytes>) -> Result<reqwest::Request, WireError> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let port = target.port.map(|port| format!(":{port}")).unwrap_or_default();
    let cannot = || WireError::Unreachable("the request has no place in a URL".to_owned());
    let url = Url::parse(&format!("https://{}{port}{path}", target.host)).map_err(|_| cannot())?;
    // What is sent must be what was signed: URLs tidy up what they hold.
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    if format!("{}{query}", url.path()) != path {
        return Err(cannot());
    }
    let mut finished = reqwest::Request::new(parts.method, url);
    *finished.headers_mut() = parts.headers;
    let host = HeaderValue::from_str(&target.name).map_err(|_| cannot())?;
    finished.headers_mut().insert(header::HOST, host);
    if !body.is_empty() {
        *finished.body_mut() = Some(body.into());
    }
    Ok(finished)
}

/// Up to the headers of the answer; its body has what is left of the time.
async fn begin(
    client: &Client,
    mut request: reqwest::Request,
    limits: CallLimits,
) -> Result<reqwest::Response, WireError> {
    *request.timeout_mut() = Some(limits.time);
    client.execute(request).await.map_err(|error| failure(&error))
}

async fn whole(
    answer: reqwest::Response,
    limits: CallLimits,
) -> Result<Response<Bytes>, WireError> {
    let mut answer = Arriving::http(answer, limits.answer_bytes)?;
    let body = answer.rest(limits.answer_bytes).await?;
    let mut head = Response::builder().status(answer.status);
    if let Some(headers) = head.headers_mut() {
        headers.clone_from(&answer.headers);
    }
    head.body(body).map_err(|error| WireError::Unreachable(error.to_string()))
}

/// The innermost reason says what happened; the outer ones repeat the URL.
pub(crate) fn failure(error: &reqwest::Error) -> WireError {
    if error.is_timeout() {
        return WireError::TimedOut;
    }
    let mut innermost: &(dyn std::error::Error + 'static) = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    WireError::Unreachable(innermost.to_string())
}

fn client(user_agent: &str, tls: ClientConfig, places: Places) -> Result<Client, SetupError> {
    blaupause_outbound::client(user_agent, tls)
        .dns_resolver(places)
        .https_only(true)
        .http1_only()
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_MAX)
        .build()
        .map_err(|error| setup(&error))
}

fn setup(error: &dyn std::error::Error) -> SetupError {
    SetupError(format!("connections to other servers: {error}"))
}

#[cfg(test)]
mod tests;
