use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use reqwest::{Client, ClientBuilder};
use rustls::{ClientConfig, crypto::CryptoProvider};

use crate::{
    AllowedNetworks, Arriving, OutboundError,
    resolve::Filtered,
    tls::{self, TlsSettings},
};

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
        let tls = TlsSettings {
            system_roots: true,
            ca_files: settings.extra_ca_file.iter().cloned().collect(),
            identity: None,
            crypto: settings.crypto.clone(),
        };
        let tls = tls.config().map_err(|error| setup(&error))?;
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
        let mut answer = self.open(request, reach, limits).await?;
        let mut body = BytesMut::new();
        while let Some(piece) = answer.next().await? {
            body.extend_from_slice(&piece);
        }
        let mut head = Response::builder().status(answer.status);
        if let Some(headers) = head.headers_mut() {
            headers.extend(std::mem::take(&mut answer.headers));
        }
        head.body(body.freeze()).map_err(|error| OutboundError::Unreachable(error.to_string()))
    }

    /// The same with an answer that is read piece by piece.
    ///
    /// # Errors
    /// As [`Outbound::send`].
    pub async fn open(
        &self,
        request: Request<Bytes>,
        reach: Reach,
        limits: Limits,
    ) -> Result<Arriving, OutboundError> {
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
        Arriving::new(client.execute(request).await?, limits.answer_bytes)
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

fn client(settings: &OutboundSettings, tls: ClientConfig) -> ClientBuilder {
    tls::client(&settings.user_agent, tls)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_MAX)
}

fn setup(error: &dyn std::error::Error) -> OutboundError {
    OutboundError::Setup(error.to_string())
}
