//! Whom outgoing connections believe, and how we show who we are.

use std::{fmt::Display, path::PathBuf, sync::Arc, time::Duration};

use reqwest::{Client, ClientBuilder, redirect};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Until a connection stands.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Certificates that cannot be read, that do not go together, or none at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

/// What TLS of outgoing connections looks like.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Whether the certificate authorities of this system are believed …
    pub system_roots: bool,
    /// … and those in these PEM files.
    pub ca_files: Vec<PathBuf>,
    /// Who we are, for servers that want to see a certificate.
    pub identity: Option<IdentityFiles>,
    /// Ciphers and groups.
    pub crypto: CryptoProvider,
}

/// A certificate with its chain, and its key; PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl TlsSettings {
    /// Reads all files.
    ///
    /// # Errors
    /// The first that cannot be used, by its name.
    pub fn config(&self) -> Result<ClientConfig, TlsError> {
        let config = ClientConfig::builder_with_provider(Arc::new(self.crypto.clone()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError(error.to_string()))?
            .with_root_certificates(self.roots()?);
        let Some(identity) = &self.identity else { return Ok(config.with_no_client_auth()) };
        let (chain, key) = identity.read()?;
        let file = identity.cert.display();
        config.with_client_auth_cert(chain, key).map_err(|error| {
            TlsError(format!("the certificate {file} and its key do not go together: {error}"))
        })
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        if self.system_roots {
            let system = rustls_native_certs::load_native_certs();
            for error in &system.errors {
                tracing::warn!(%error, "a certificate of this system cannot be read");
            }
            // Old certificates that rustls does not take are nobody's.
            roots.add_parsable_certificates(system.certs);
        }
        for file in &self.ca_files {
            let read = |error: &dyn Display| {
                TlsError(format!("cannot read the certificates in {}: {error}", file.display()))
            };
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| read(&error))? {
                let certificate = certificate.map_err(|error| read(&error))?;
                roots.add(certificate).map_err(|error| read(&error))?;
            }
        }
        if roots.is_empty() && !self.system_roots {
            return Err(TlsError("no certificate authority is trusted".to_owned()));
        }
        Ok(roots)
    }
}

impl IdentityFiles {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let (cert, key) = (self.cert.display(), self.key.display());
        let chain = CertificateDer::pem_file_iter(&self.cert).and_then(Iterator::collect);
        let chain: Vec<_> = chain
            .map_err(|error| TlsError(format!("cannot read the certificate {cert}: {error}")))?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| TlsError(format!("cannot read the key {key}: {error}")))?;
        Ok((chain, key))
    }
}

/// A client that follows no redirects, keeps no cookies and uses no proxy.
pub fn client(user_agent: &str, tls: ClientConfig) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(user_agent)
        .redirect(redirect::Policy::none())
        .referer(false)
        // A proxy would resolve names itself, past the filter.
        .no_proxy()
        .connect_timeout(CONNECT_MAX)
}
