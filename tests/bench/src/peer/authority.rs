//! A certificate authority for the servers of one measurement, all of which are called `localhost`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

/// A folder with `ca.pem`, `localhost.pem` and `localhost.key`.
pub struct Authority {
    folder: PathBuf,
    _own: Option<TempDir>,
}

impl Authority {
    /// That of the folder, which a server that runs already believes; or one of its own.
    pub fn open(folder: Option<&Path>) -> Result<Self> {
        let (folder, own) = match folder {
            Some(folder) => (folder.to_owned(), None),
            None => {
                let own = TempDir::with_prefix("blaupause-bench-ca-")?;
                (own.path().to_owned(), Some(own))
            }
        };
        if !folder.join("ca.pem").is_file() {
            make(&folder)?;
        }
        Ok(Self { folder, _own: own })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        let certificate = CertificateDer::from_pem_file(self.file("localhost.pem"))?;
        let key = PrivateKeyDer::from_pem_file(self.file("localhost.key"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn make(folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &issuer)?;
    let files = [
        ("localhost.pem", certificate.pem()),
        ("localhost.key", key.serialize_pem()),
        ("ca.pem", authority.pem()),
    ];
    for (name, text) in files {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
