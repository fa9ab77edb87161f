//! TLS for the public listeners: which ciphers, certificate files, and their reload on SIGHUP.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
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

/// Build the listener's settings from a certificate chain and its key.
///
/// # Errors
/// If a file cannot be read or the two do not belong together.
pub fn server_config(
    cert: &Path,
    key: &Path,
    profile: TlsProfile,
) -> Result<Arc<ServerConfig>, TlsError> {
    let certs = read_certs(cert)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| TlsError::Key { file: key.to_owned(), reason: error.to_string() })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider(profile)))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Pair)?
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // BSI TR-02102-2: no 0-RTT, and TLS 1.2 only with the extended master secret.
    config.max_early_data_size = 0;
    config.require_ems = profile == TlsProfile::Bsi;
    Ok(Arc::new(config))
}

/// The certificate in use, which can be exchanged while the server runs. Cheap to clone.
#[derive(Clone)]
pub struct TlsFiles {
    cert: PathBuf,
    key: PathBuf,
    profile: TlsProfile,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl TlsFiles {
    /// Read the files for the first time.
    ///
    /// # Errors
    /// As [`server_config`].
    pub fn open(cert: &Path, key: &Path, profile: TlsProfile) -> Result<Self, TlsError> {
        let current = Arc::new(RwLock::new(server_config(cert, key, profile)?));
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), profile, current })
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
        let fresh = server_config(&self.cert, &self.key, self.profile)?;
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
