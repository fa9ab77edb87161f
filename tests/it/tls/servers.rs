//! Doors at which other servers show a certificate.

use std::{fs, net::SocketAddr, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustix::process::{Signal, kill_process};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;

/// A certificate authority of servers.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a server shows.
type Identity = (Vec<CertificateDer<'static>>, Vec<u8>);

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn identity(&self) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["peer.example".to_owned()];
        let mut params = CertificateParams::new(names).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (vec![certificate.der().clone()], key.serialize_der())
    }
}

/// The status of an answer, or why there is none.
fn status(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    shown: Option<&Identity>,
    path: &str,
) -> Result<u16, String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match shown {
        None => config.with_no_client_auth(),
        Some((chain, key)) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.clone()));
            config.with_client_auth_cert(chain.clone(), key).expect("a key")
        }
    };
    let text = talk(address, config, path)?;
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| "no answer".to_owned())
}

fn section(folder: &Path) -> String {
    let tls = tls_section(folder);
    let folder = folder.display();
    format!(
        "{tls}[federation]\nlisten = [\"127.0.0.1:0\"]\nclient_ca_file = \"{folder}/peers.pem\"\n"
    )
}

#[test]
fn servers_show_a_certificate_at_their_own_door_and_come_in_nowhere_else() {
    const KEYS: &str = "/_matrix/key/v2/server";
    const VERSIONS: &str = "/_matrix/client/versions";
    let folder = tempfile::tempdir().expect("a folder");
    let own = write_certificate(folder.path());
    let (friends, others) = (Authority::new(), Authority::new());
    let (friend, other) = (friends.identity(), others.identity());
    fs::write(folder.path().join("peers.pem"), &friends.pem).expect("written");
    let (_place, file) = configured(&section(folder.path()));
    let mut server = Running::start(&file, None);
    let (door, public) = (server.address("federation"), server.address("tls"));
    assert_eq!(status(door, &own, Some(&friend), KEYS), Ok(200));
    assert!(status(door, &own, None, KEYS).is_err(), "nobody without a certificate");
    assert!(status(door, &own, Some(&other), KEYS).is_err(), "nor with another authority's");
    assert_eq!(status(door, &own, Some(&friend), VERSIONS), Ok(404));
    assert_eq!(status(public, &own, None, VERSIONS), Ok(200));
    for path in [KEYS, "/_matrix/federation/v1/version"] {
        assert_eq!(status(public, &own, None, path), Ok(404), "{path}");
    }
    // Another authority, without a new start …
    fs::write(folder.path().join("peers.pem"), &others.pem).expect("written");
    kill_process(server.id(), Signal::HUP).expect("it runs");
    server.wait_for_log("read again with which servers this one speaks");
    assert_eq!(status(door, &own, Some(&other), KEYS), Ok(200));
    assert!(status(door, &own, Some(&friend), KEYS).is_err());
    // … and one that cannot be read, which changes nothing.
    fs::write(folder.path().join("peers.pem"), "damaged").expect("written");
    kill_process(server.id(), Signal::HUP).expect("it runs");
    server.wait_for_log("kept the old certificate");
    server.wait_for_log("kept the old list of servers");
    assert_eq!(status(door, &own, Some(&other), KEYS), Ok(200));
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn certificates_for_servers_that_cannot_be_used_stop_the_start_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    write_certificate(folder.path());
    let at = folder.path().display();
    fs::write(folder.path().join("empty.pem"), "").expect("written");
    for (section, key) in [
        (format!("client_cert_file = \"{at}/cert.pem\""), "federation.client_cert_file"),
        (
            format!("client_cert_file = \"{at}/gone.pem\"\nclient_key_file = \"{at}/key.pem\""),
            "federation.client_cert_file",
        ),
        (format!("client_ca_file = \"{at}/cert.pem\""), "federation.client_ca_file"),
        (
            format!("listen = [\"127.0.0.1:0\"]\nclient_ca_file = \"{at}/empty.pem\""),
            "federation.client_ca_file",
        ),
        (format!("ca_file = \"{at}/empty.pem\""), "federation.ca_file"),
    ] {
        let text = format!("{}[federation]\n{section}\n", tls_section(folder.path()));
        let (_place, file) = configured(&text);
        let output = crate::program::run(&["check-config", file.to_str().expect("text")]);
        let said = crate::program::complaint(&output);
        assert_eq!(output.status.code(), Some(1), "{section}: {said}");
        assert!(said.contains(key), "{section}: {said}");
    }
}
