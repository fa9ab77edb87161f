//! Real TLS on loopback, with servers that behave badly.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use blaupause_data::Env;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use ruma::server_name;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::*;

mod identity;

const LIMITS: CallLimits = CallLimits { time: Duration::from_millis(700), answer_bytes: 1_000 };

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: NamedTempFile,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let file = NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), certificate.pem()).expect("it can be written");
        Self { issuer: Issuer::new(params, key), file }
    }

    fn server(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate and its key");
        TlsAcceptor::from(Arc::new(config))
    }

    /// A network in which `a.test` is at this address.
    fn network(&self, at: SocketAddr) -> Https {
        let addresses = [(server_name!("a.test").to_owned(), (at.ip().to_string(), at.port()))];
        self.network_with(HttpsSettings { addresses: addresses.into(), ..Default::default() })
    }

    fn network_with(&self, settings: HttpsSettings) -> Https {
        let settings = HttpsSettings {
            trust_system_roots: false,
            ca_files: vec![self.file.path().to_owned()],
            ..settings
        };
        Https::new(Env::manual(1), &settings).expect("the certificate can be read")
    }
}

/// Answers each connection in the same way.
async fn listen<A, F>(tls: TlsAcceptor, answer: A) -> (SocketAddr, JoinHandle<()>)
where
    A: Fn(TlsStream<TcpStream>) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let env = Env::manual(1);
    let accepting = env.clone().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = tls.accept(stream).await {
                env.spawn(answer(stream));
            }
        }
    });
    (at, accepting)
}

/// Reads the head of a request.
async fn head(stream: &mut TlsStream<TcpStream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).expect("text")
}

/// What a server that writes this after the request gives us.
async fn against(answer: &'static [u8], keep_open: bool) -> Result<(u16, Bytes), WireError> {
    let authority = Authority::new();
    let (at, _listener) = listen(authority.server("a.test"), move |mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(answer).await;
        if keep_open {
            std::future::pending::<()>().await;
        }
        let _ = stream.shutdown().await;
    })
    .await;
    exchange(&authority.network(at)).await
}

async fn exchange(network: &Https) -> Result<(u16, Bytes), WireError> {
    exchange_with(network, server_name!("a.test")).await
}

async fn exchange_with(network: &Https, to: &ServerName) -> Result<(u16, Bytes), WireError> {
    let request = Request::get("/_matrix/federation/v1/version?x=%24y");
    let request = request.body(Bytes::new()).expect("a request");
    let answer = network.exchange(to, request, LIMITS).await?;
    Ok((answer.status().as_u16(), answer.into_body()))
}

#[tokio::test]
async fn a_request_arrives_as_it_was_signed_and_with_its_host() {
    let authority = Authority::new();
    let (at, _listener) = listen(authority.server("a.test"), |mut stream| async move {
        let head = head(&mut stream).await;
        let _ = stream
            .write_all(
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", head.len()).as_bytes(),
            )
            .await;
        let _ = stream.write_all(head.as_bytes()).await;
    })
    .await;
    let (status, body) = exchange(&authority.network(at)).await.expect("an answer");
    let head = String::from_utf8(body.to_vec()).expect("text").to_lowercase();
    assert_eq!(status, 200);
    assert!(head.starts_with("get /_matrix/federation/v1/version?x=%24y http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: a.test\r\n"), "{head}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let (at, _listener) = listen(authority.server("b.test"), |_| async {}).await;
    let refused = exchange(&authority.network(at)).await.expect_err("refused");
    assert!(matches!(refused, WireError::Unreachable(_)), "{refused:?}");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (at, _listener) = listen(theirs.server("a.test"), |_| async {}).await;
    let refused = exchange(&ours.network(at)).await.expect_err("refused");
    assert!(matches!(refused, WireError::Unreachable(_)), "{refused:?}");
}

#[tokio::test]
async fn silence_costs_the_time_limit() {
    assert_eq!(against(b"", true).await, Err(WireError::TimedOut));
    assert_eq!(against(b"HTTP/1.1 200 OK\r\n", true).await, Err(WireError::TimedOut));
    let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    assert_eq!(against(begun, true).await, Err(WireError::TimedOut));
}

#[tokio::test]
async fn who_only_accepts_costs_the_time_limit() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    assert_eq!(exchange(&authority.network(at)).await, Err(WireError::TimedOut));
}

#[tokio::test]
async fn garbage_and_halves_are_no_answers() {
    for answer in [
        &b"\x00\xff\xfe garbage\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200",
        b"",
    ] {
        let got = against(answer, false).await;
        assert!(matches!(got, Err(WireError::Unreachable(_))), "{answer:?} {got:?}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_too_large() {
    let announced = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n";
    assert_eq!(against(announced, true).await, Err(WireError::TooLarge));
    let authority = Authority::new();
    let (at, _listener) = listen(authority.server("a.test"), |mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 100]).await.is_ok() {}
    })
    .await;
    assert_eq!(exchange(&authority.network(at)).await, Err(WireError::TooLarge));
}

#[tokio::test]
async fn an_answer_that_drips_costs_the_time_limit() {
    let authority = Authority::new();
    let (at, _listener) = listen(authority.server("a.test"), |mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(exchange(&authority.network(at)).await, Err(WireError::TimedOut));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let answer = b"HTTP/1.1 302 Found\r\nlocation: https://evil.test/\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(against(answer, false).await, Ok((302, Bytes::new())));
}

#[tokio::test]
async fn a_name_that_is_an_inner_address_is_not_connected_to() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let to = ServerName::parse(format!("127.0.0.1:{port}")).expect("a name");
    let closed = authority.network_with(HttpsSettings::default());
    let refused = exchange_with(&closed, &to).await.expect_err("refused");
    assert!(matches!(&refused, WireError::Unreachable(why) if why.contains("allowed")));
    // Where the operator allows it there is a connection, though nobody answers.
    let allowed_networks = AllowedNetworks::parse(&["127.0.0.0/8"]).expect("a network");
    let open = authority.network_with(HttpsSettings { allowed_networks, ..Default::default() });
    assert_eq!(exchange_with(&open, &to).await, Err(WireError::TimedOut));
    let first = listener.accept();
    tokio::time::timeout(Duration::from_secs(1), first).await.expect("the second").expect("it");
}

#[tokio::test]
async fn a_path_that_a_url_would_tidy_up_is_not_sent() {
    let authority = Authority::new();
    let network = authority.network("127.0.0.1:1".parse().expect("an address"));
    for path in ["/_matrix/a/../b", "/_matrix/%2e%2e/b", "/a/./b"] {
        let request = Request::get(path).body(Bytes::new()).expect("a request");
        let refused = network.exchange(server_name!("a.test"), request, LIMITS).await;
        let refused = refused.expect_err("refused");
        assert!(matches!(&refused, WireError::Unreachable(why) if why.contains("URL")), "{path}");
    }
}

#[test]
fn nobody_to_believe_is_a_mistake() {
    let settings = HttpsSettings { trust_system_roots: false, ..Default::default() };
    assert!(Https::new(Env::manual(1), &settings).is_err());
    let ca_files = vec!["/nonexistent/ca.pem".into()];
    let settings = HttpsSettings { ca_files, ..Default::default() };
    let error = Https::new(Env::manual(1), &settings).err().expect("refused").to_string();
    assert!(error.contains("/nonexistent/ca.pem"), "{error}");
}
