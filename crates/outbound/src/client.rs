use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use reqwest::{Client, ClientBuilder, redirect};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{AllowedNetworks, OutboundError, resolve::Filtered};

/// Until a connection stands.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Connections that wait for the next request to the same host, and how long.
const IDLE_PER_HOST: usize = 8;
const IDLE_MAX: Duration = Duration::from_secs(30);

/// What outgoing connections look like.
#[derive(Clone, Debug)]
pub struct OutboundSettings {
    /// Told to others in `User-Agent`.
    pub user_agent: String,
    /// Networks that users may name although they are not public.
    pub allowed_networks: AllowedNetworks,
    /// PEM file with certificates that are trusted beside the system's.
    pub extra_ca_file: Option<PathBuf>,
    /// Ciphers and groups.
    pub crypto: CryptoProvider,
}

impl Default for OutboundSettings {
    fn default() -> Self {
        Self {
            user_agent: concat!("Blaupause/", env!("CARGO_PKG_VERSION")).to_owned(),
            allowed_networks: AllowedNetworks::default(),
            extra_ca_file: None,
            crypto: rustls::crypto::ring::default_provider(),
        }
    }
}

/// Who named the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The operator, in the configuration: it may be anywhere.
    Configured,
    /// A user: it must be in a public network, or in one that the operator allows.
    Named,
}

/// What an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the connection to the last byte of the answer.
    pub time: Duration,
    /// Bytes of the answer's body.
    pub answer_bytes: usize,
}

/// HTTP to others. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Outbound(Arc<Inner>);

struct Inner {
    configured: Client,
    named: Client,
    allowed: AllowedNetworks,
}

impl Outbound {
    /// # Errors
    /// If the extra certificates cannot be read.
    pub fn new(settings: OutboundSettings) -> Result<Self, OutboundError> {
        let tls = tls(&settings)?;
        let build = |builder: ClientBuilder| builder.build().map_err(|error| setup(&error));
        let configured = build(client(&settings, tls.clone()))?;
        let resolver = Filtered(settings.allowed_networks.clone());
        let named = build(client(&settings, tls).dns_resolver(resolver))?;
        let allowed = settings.allowed_networks;
        Ok(Self(Arc::new(Inner { configured, named, allowed })))
    }

    /// One exchange. Redirects are not followed: whoever follows one asks again, and the new
    /// address is checked like the first.
    ///
    /// # Errors
    /// [`OutboundError`]; an answer of any status is no error.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        reach: Reach,
        limits: Limits,
    ) -> Result<Response<Bytes>, OutboundError> {
        let mut request = reqwest::Request::try_from(request)?;
        if !matches!(request.url().scheme(), "http" | "https") {
            return Err(OutboundError::BadRequest("neither http nor https".into()));
        }
        let client = match reach {
            Reach::Configured => &self.0.configured,
            Reach::Named => {
                self.check_literal(request.url().host_str())?;
                &self.0.named
            }
        };
        *request.timeout_mut() = Some(limits.time);
        let mut answer = client.execute(request).await?;
        let mut head = Response::builder().status(answer.status());
        if let Some(headers) = head.headers_mut() {
            headers.extend(answer.headers().clone());
        }
        let body = body(&mut answer, limits.answer_bytes).await?;
        head.body(body).map_err(|error| OutboundError::Unreachable(error.to_string()))
    }

    /// An address in the URL is never looked up, so the resolver does not see it.
    fn check_literal(&self, host: Option<&str>) -> Result<(), OutboundError> {
        let host = host.ok_or_else(|| OutboundError::BadRequest("no host".into()))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) if !self.0.allowed.allow(address) => {
                Err(OutboundError::Refused(host.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

async fn body(answer: &mut reqwest::Response, max: usize) -> Result<Bytes, OutboundError> {
    let announced = answer.content_length().unwrap_or_default();
    if usize::try_from(announced).is_ok_and(|announced| announced > max) {
        return Err(OutboundError::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > max {
            return Err(OutboundError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn client(settings: &OutboundSettings, tls: ClientConfig) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(&settings.user_agent)
        .redirect(redirect::Policy::none())
        .referer(false)
        // A proxy would resolve names itself, past the filter.
        .no_proxy()
        .connect_timeout(CONNECT_MAX)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_MAX)
}

fn tls(settings: &OutboundSettings) -> Result<ClientConfig, OutboundError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "a certificate of this system cannot be read");
    }
    // Old certificates that rustls does not take are nobody's.
    roots.add_parsable_certificates(system.certs);
    if let Some(file) = &settings.extra_ca_file {
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| setup(&error))? {
            roots
                .add(certificate.map_err(|error| setup(&error))?)
                .map_err(|error| setup(&error))?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(settings.crypto.clone()))
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn setup(error: &dyn std::error::Error) -> OutboundError {
    OutboundError::Setup(error.to_string())
}
