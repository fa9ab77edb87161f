//! Servers that want to see a certificate, and settings that change while the server runs.

use rustls::{RootCertStore, server::WebPkiClientVerifier};

use super::*;

impl Authority {
    /// A certificate and its key, as files.
    fn identity(&self) -> (NamedTempFile, NamedTempFile) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["own.test".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let file = |text: String| {
            let file = NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), text).expect("it can be written");
            file
        };
        (file(certificate.pem()), file(key.serialize_pem()))
    }

    /// A server that lets in only who shows a certificate of this authority.
    fn strict_server(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let mut roots = RootCertStore::empty();
        for root in pems(self.file.path()) {
            roots.add(root).expect("a certificate");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .expect("a certificate and its key");
        TlsAcceptor::from(Arc::new(config))
    }
}

fn pems(file: &std::path::Path) -> Vec<CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    let certificates = CertificateDer::pem_file_iter(file).expect("a file");
    certificates.collect::<Result<_, _>>().expect("certificates")
}

async fn asked(network: &Https) -> Result<u16, WireError> {
    exchange_with(network, server_name!("a.test")).await.map(|(status, _)| status)
}

#[tokio::test]
async fn who_wants_to_see_a_certificate_is_shown_ours_also_one_that_comes_later() {
    let authority = Authority::new();
    let (at, _listener) = listen(authority.strict_server("a.test"), |mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    let network = authority.network(at);
    assert!(matches!(asked(&network).await, Err(WireError::Unreachable(_))));
    let (cert, key) = authority.identity();
    let addresses = [(server_name!("a.test").to_owned(), (at.ip().to_string(), at.port()))];
    let identity = IdentityFiles { cert: cert.path().into(), key: key.path().into() };
    let mut settings = HttpsSettings {
        addresses: addresses.into(),
        trust_system_roots: false,
        ca_files: vec![authority.file.path().to_owned()],
        identity: Some(identity),
        ..Default::default()
    };
    network.reload(&settings).expect("the files are good");
    assert_eq!(asked(&network).await, Ok(200));
    // What cannot be read changes nothing.
    std::fs::write(key.path(), "damaged").expect("it can be written");
    let error = network.reload(&settings).expect_err("refused").to_string();
    assert!(error.contains(&key.path().display().to_string()), "{error}");
    assert_eq!(asked(&network).await, Ok(200));
    // Somebody else is believed from now on.
    settings.identity = None;
    settings.ca_files = vec![Authority::new().file.path().to_owned()];
    assert!(network.reload(&settings).is_err(), "the file is gone with its authority");
    let other = Authority::new();
    settings.ca_files = vec![other.file.path().to_owned()];
    network.reload(&settings).expect("the file is good");
    assert!(matches!(asked(&network).await, Err(WireError::Unreachable(_))));
}
