//! HTTPS by the server itself: what it offers, and a new certificate while it runs.

mod servers;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use rustls::{
    CipherSuite, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::{CryptoProvider, ring},
    pki_types::CertificateDer,
};

use crate::{
    program::{PATIENCE, Running},
    serve::configured,
};

/// A fresh self-signed certificate, written to the two files the configuration names.
fn write_certificate(folder: &Path) -> CertificateDer<'static> {
    let made =
        rcgen::generate_simple_self_signed(["example.org".to_owned()]).expect("a certificate");
    fs::write(folder.join("cert.pem"), made.cert.pem()).expect("written");
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
    made.cert.der().clone()
}

fn tls_section(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "[tls]\nlisten = [\"127.0.0.1:0\"]\ncert_file = \"{folder}/cert.pem\"\nkey_file = \"{folder}/key.pem\"\n"
    )
}

/// Ask over TLS; gives the answer and the cipher, or why there is no connection.
fn ask(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    provider: CryptoProvider,
) -> Result<(String, CipherSuite), String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (answer, stream) = exchange(address, config, "/x")?;
    let suite = stream.conn.negotiated_cipher_suite().expect("a cipher").suite();
    Ok((answer, suite))
}

/// The answer to a GET.
fn talk(address: SocketAddr, config: ClientConfig, path: &str) -> Result<String, String> {
    exchange(address, config, path).map(|(answer, _)| answer)
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn exchange(
    address: SocketAddr,
    config: ClientConfig,
    path: &str,
) -> Result<(String, Stream), String> {
    let name = "example.org".try_into().expect("a name");
    let client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let socket = TcpStream::connect(address).expect("the server listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut stream = StreamOwned::new(client, socket);
    let request = format!("GET {path} HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    Ok((answer, stream))
}

#[test]
fn https_is_served_and_a_new_certificate_is_taken_on_sighup() {
    let certs = tempfile::tempdir().expect("a folder");
    let first = write_certificate(certs.path());
    let (_folder, file) = configured(&tls_section(certs.path()));
    let mut server = Running::start(&file, None);
    let address = server.address("tls");
    let (answer, suite) = ask(address, &first, ring::default_provider()).expect("a connection");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(format!("{suite:?}").contains("AES"), "{suite:?}");

    let second = write_certificate(certs.path());
    rustix::process::kill_process(server.id(), rustix::process::Signal::HUP).expect("it runs");
    server.wait_for_log("read the certificate again");
    assert!(ask(address, &first, ring::default_provider()).is_err());
    assert!(ask(address, &second, ring::default_provider()).is_ok());

    fs::write(certs.path().join("cert.pem"), "damaged").expect("written");
    rustix::process::kill_process(server.id(), rustix::process::Signal::HUP).expect("it runs");
    server.wait_for_log("kept the old certificate");
    assert!(ask(address, &second, ring::default_provider()).is_ok());
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn what_the_bsi_guideline_does_not_list_is_not_spoken() {
    let certs = tempfile::tempdir().expect("a folder");
    let cert = write_certificate(certs.path());
    let (_folder, file) = configured(&tls_section(certs.path()));
    let server = Running::start(&file, None);
    let address = server.address("tls");
    let only_chacha = CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
        ..ring::default_provider()
    };
    assert!(ask(address, &cert, only_chacha).is_err());
    let only_x25519 =
        CryptoProvider { kx_groups: vec![ring::kx_group::X25519], ..ring::default_provider() };
    assert!(ask(address, &cert, only_x25519).is_err());
    let only_p384 =
        CryptoProvider { kx_groups: vec![ring::kx_group::SECP384R1], ..ring::default_provider() };
    assert!(ask(address, &cert, only_p384).is_ok());
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_certificate_that_does_not_fit_its_key_stops_the_start() {
    let certs = tempfile::tempdir().expect("a folder");
    write_certificate(certs.path());
    let cert = fs::read(certs.path().join("cert.pem")).expect("there");
    write_certificate(certs.path());
    fs::write(certs.path().join("cert.pem"), cert).expect("written");
    let (_folder, file) = configured(&tls_section(certs.path()));
    let output = crate::program::run(&["check-config", file.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(1));
    let said = crate::program::complaint(&output);
    assert!(
        said.contains("tls.cert_file: the certificate and the key do not go together"),
        "{said}"
    );
}
