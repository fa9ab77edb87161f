//! TLS for the public listeners: which ciphers, certificate files, from whom a certificate is
//! wanted, and their reload on SIGHUP.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use blaupause_outbound::{IdentityFiles, TlsSettings};
use parking_lot::RwLock;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use crate::config::TlsProfile;

/// Why certificate files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read certificates from {}: {reason}", file.display())]
    Certs { file: PathBuf, reason: String },
    #[error("cannot read a private key from {}: {reason}", file.display())]
    Key { file: PathBuf, reason: String },
    #[error("the certificate and the key do not go together: {0}")]
    Pair(rustls::Error),
    #[error("cannot check certificates of other servers by {}: {reason}", file.display())]
    ClientCa { file: PathBuf, reason: String },
}

impl TlsError {
    /// Whether the key file is to blame.
    pub const fn about_key(&self) -> bool {
        matches!(self, Self::Key { .. })
    }
}

/// The ciphers and groups of a profile.
///
/// `Bsi` is what BSI TR-02102-2 lists and ring has: TLS 1.3 and 1.2 with ECDHE, AES-GCM only,
/// secp384r1 and secp256r1; no ChaCha20-Poly1305, no X25519.
pub fn provider(profile: TlsProfile) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if profile == TlsProfile::Bsi {
        use ring::{cipher_suite as suite, kx_group as group};
        provider.cipher_suites = vec![
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ];
        provider.kx_groups = vec![group::SECP384R1, group::SECP256R1];
    }
    provider
}

/// Read every certificate of a PEM file.
///
/// # Errors
/// If it cannot be read, is no PEM, or holds none.
pub fn read_certs(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |reason: String| TlsError::Certs { file: file.to_owned(), reason };
    let certs: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| bad(error.to_string()))?;
    if certs.is_empty() {
        return Err(bad("it holds none".to_owned()));
    }
    Ok(certs)
}

/// What a listener reads its settings from.
#[derive(Clone, Debug)]
pub struct ListenerFiles {
    /// The certificate with its chain.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Whoever connects must show a certificate of one of these authorities.
    pub client_ca: Option<PathBuf>,
}

/// Build the listener's settings.
///
/// # Errors
/// If a file cannot be read, or certificate and key do not belong together.
pub fn server_config(
    files: &ListenerFiles,
    profile: TlsProfile,
) -> Result<Arc<ServerConfig>, TlsError> {
    let certs = read_certs(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| TlsError::Key { file: files.key.clone(), reason: error.to_string() })?;
    let provider = Arc::new(provider(profile));
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Pair)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => builder.with_client_cert_verifier(client_verifier(file, provider)?),
    };
    let mut config = builder.with_single_cert(certs, key).map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // BSI TR-02102-2: no 0-RTT, and TLS 1.2 only with the extended master secret.
    config.max_early_data_size = 0;
    config.require_ems = profile == TlsProfile::Bsi;
    Ok(Arc::new(config))
}

fn client_verifier(
    file: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let bad = |reason: String| TlsError::ClientCa { file: file.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for cert in read_certs(file)? {
        roots.add(cert).map_err(|error| bad(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| bad(error.to_string()))
}

/// Whether our certificate for other servers can be used.
///
/// # Errors
/// Why not.
pub fn identity_works(
    files: IdentityFiles,
    profile: TlsProfile,
) -> Result<(), blaupause_outbound::TlsError> {
    let settings = TlsSettings {
        // Who is believed does not matter here.
        system_roots: true,
        ca_files: Vec::new(),
        identity: Some(files),
        crypto: provider(profile),
    };
    settings.config().map(drop)
}

/// The certificate in use, which can be exchanged while the server runs. Cheap to clone.
#[derive(Clone)]
pub struct TlsFiles {
    files: ListenerFiles,
    profile: TlsProfile,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl TlsFiles {
    /// Read the files for the first time.
    ///
    /// # Errors
    /// As [`server_config`].
    pub fn open(files: ListenerFiles, profile: TlsProfile) -> Result<Self, TlsError> {
        let current = Arc::new(RwLock::new(server_config(&files, profile)?));
        Ok(Self { files, profile, current })
    }

    /// What the next handshake uses.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read())
    }

    /// Read the files again. Open connections keep what they have.
    ///
    /// # Errors
    /// As [`server_config`]; the old certificate stays in use then.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = server_config(&self.files, self.profile)?;
        *self.current.write() = fresh;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustls::{CipherSuite, NamedGroup};

    use super::*;

    #[test]
    fn the_bsi_profile_offers_only_what_the_guideline_lists() {
        let provider = provider(TlsProfile::Bsi);
        let suites: Vec<CipherSuite> = provider.cipher_suites.iter().map(|s| s.suite()).collect();
        assert!(suites.iter().all(|suite| format!("{suite:?}").contains("_GCM_")), "{suites:?}");
        assert_eq!(suites.len(), 6);
        let groups: Vec<NamedGroup> = provider.kx_groups.iter().map(|g| g.name()).collect();
        assert_eq!(groups, [NamedGroup::secp384r1, NamedGroup::secp256r1]);
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = read_certs(file.path()).expect_err("no certificate").to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }
}
