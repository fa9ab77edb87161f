//! HTTPS to other servers.
//!
//! A URL without a port connects to what DNS announces for its host; one with a port connects
//! there. These are two clients, because the pool of connections knows a host and its port only.
//! What a stranger names (names, documents, records) must lead into a public network, or one that
//! the operator allows.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use blaupause_data::Env;
use blaupause_outbound::AllowedNetworks;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header};
use reqwest::{Client, redirect};
use ruma::{OwnedServerName, ServerName};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
};
use url::Url;

use crate::{
    CallLimits, Exchange, Wire, WireError,
    discover::{Discovery, Target},
    dns::{Dns, Places, Ports},
};

/// Until a connection stands.
const CONNECT_MAX: Duration = Duration::from_secs(10);
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
    /// For URLs without a port.
    announced: Client,
    /// For URLs with one, and for well-known documents.
    given: Client,
    /// For servers whose place the operator named.
    fixed: BTreeMap<OwnedServerName, Client>,
    allowed: AllowedNetworks,
    discovery: Discovery,
}

impl Https {
    /// # Errors
    /// If certificates cannot be read, or nobody would be believed.
    pub fn new(env: Env, settings: &HttpsSettings) -> Result<Self, SetupError> {
        let dns = Dns::system();
        let tls = tls(settings)?;
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
        let discovery = Discovery::new(env);
        Ok(Self { announced, given, fixed, allowed, discovery })
    }

    async fn send(
        &self,
        to: &ServerName,
        request: Request<Bytes>,
        limits: CallLimits,
    ) -> Result<Response<Bytes>, WireError> {
        if let Some(client) = self.fixed.get(to) {
            let target = Target { host: to.host().to_owned(), port: None, name: to.to_string() };
            return execute(client, finished(&target, request)?, limits).await;
        }
        let target = self.discovery.target(to, |url| self.document(url)).await;
        if target.literal().is_some_and(|address| !self.allowed.allow(address)) {
            return Err(WireError::Unreachable(format!("{} is not allowed", target.host)));
        }
        let client = if target.port.is_some() { &self.given } else { &self.announced };
        let answer = execute(client, finished(&target, request)?, limits).await;
        if let Err(WireError::Unreachable(_)) = &answer {
            self.discovery.doubt(to);
        }
        answer
    }

    async fn document(&self, url: Url) -> Result<Response<Bytes>, WireError> {
        let literal = url.host_str().and_then(crate::discover::literal);
        if literal.is_some_and(|address| !self.allowed.allow(address)) {
            return Err(WireError::Unreachable(format!("{url} is not allowed")));
        }
        let request = reqwest::Request::new(http::Method::GET, url);
        execute(&self.given, request, WELL_KNOWN).await
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
            let sent = tokio::time::timeout(limits.time, self.send(to, request, limits)).await;
            sent.map_err(|_| WireError::TimedOut)?
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

async fn execute(
    client: &Client,
    mut request: reqwest::Request,
    limits: CallLimits,
) -> Result<Response<Bytes>, WireError> {
    *request.timeout_mut() = Some(limits.time);
    let mut answer = client.execute(request).await.map_err(|error| failure(&error))?;
    let mut head = Response::builder().status(answer.status());
    if let Some(headers) = head.headers_mut() {
        headers.clone_from(answer.headers());
    }
    let announced = answer.content_length().unwrap_or_default();
    if announced > limits.answer_bytes as u64 {
        return Err(WireError::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + piece.len() > limits.answer_bytes {
            return Err(WireError::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    head.body(body.freeze()).map_err(|error| WireError::Unreachable(error.to_string()))
}

/// The innermost reason says what happened; the outer ones repeat the URL.
fn failure(error: &reqwest::Error) -> WireError {
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
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(user_agent)
        .dns_resolver(places)
        .redirect(redirect::Policy::none())
        .referer(false)
        // A proxy would resolve names itself, past the filter.
        .no_proxy()
        .https_only(true)
        .http1_only()
        .connect_timeout(CONNECT_MAX)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_MAX)
        .build()
        .map_err(|error| setup(&error))
}

fn tls(settings: &HttpsSettings) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    if settings.trust_system_roots {
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "a certificate of this system cannot be read");
        }
        roots.add_parsable_certificates(system.certs);
    }
    for file in &settings.ca_files {
        let read = |error: &dyn std::fmt::Display| {
            SetupError(format!("cannot read the certificates in {}: {error}", file.display()))
        };
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| read(&error))? {
            let certificate = certificate.map_err(|error| read(&error))?;
            roots.add(certificate).map_err(|error| read(&error))?;
        }
    }
    if roots.is_empty() && !settings.trust_system_roots {
        return Err(SetupError("no certificate authority is trusted".to_owned()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(settings.crypto.clone()))
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn setup(error: &dyn std::error::Error) -> SetupError {
    SetupError(format!("connections to other servers: {error}"))
}

#[cfg(test)]
mod tests;
