//! Servers, their authority, and the links between them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::json;
use tempfile::TempDir;

use super::link::Link;
use crate::{
    http::Client,
    people::{self, Person},
    place::Place,
    program::PATIENCE,
    server::{OPEN, Server},
};

/// Between two looks at something that becomes true by itself.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// The shortest pause that can be configured: a server that comes back is not waited for longer.
const PAUSES: &str = "retry_backoff_min = \"1s\"\nretry_backoff_max = \"1s\"\n";

/// Servers by their place: [`A`], [`B`], [`C`], and perhaps a stranger.
pub struct Network {
    pub sites: Vec<Site>,
    links: BTreeMap<(usize, usize), Link>,
    authority: TempDir,
}

pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 2;
/// A fourth server, in networks that have one.
pub const STRANGER: usize = 3;

const NAMES: [&str; 4] = ["bund.example", "land.example", "stadt.example", "fremd.example"];
/// Those who speak with each other.
const FRIENDS: usize = 3;

/// A server with somebody on it.
pub struct Site {
    pub name: &'static str,
    pub person: Person,
    config: PathBuf,
    server: Option<Server>,
    place: Place,
}

impl Site {
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it was started")
    }

    pub fn client(&self) -> Client {
        self.server().client()
    }

    /// Without a chance to write anything.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
            assert_eq!(server.complaints(), Vec::<String>::new());
        }
    }

    /// Somebody else on this server.
    pub fn register(&self, name: &str) -> Person {
        people::register(&mut self.client(), name)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(server) = &self.server
        {
            println!("the log of {}:\n{}", self.name, server.log());
        }
    }
}

impl Network {
    /// Three servers that speak with each other.
    pub fn of_friends() -> Self {
        Self::new(FRIENDS)
    }

    /// And one that speaks with everybody, and with whom nobody speaks.
    pub fn with_stranger() -> Self {
        Self::new(FRIENDS + 1)
    }

    fn new(count: usize) -> Self {
        let authority = authority(&NAMES[..count]);
        let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        let links = pairs.filter(|(from, to)| from != to).map(|pair| (pair, Link::new())).collect();
        let mut network = Self { sites: Vec::new(), links, authority };
        for (at, name) in NAMES.into_iter().enumerate().take(count) {
            let place = Place::new();
            let config = place.path().join("b.toml");
            let allow = if at == STRANGER { &NAMES } else { &NAMES[..FRIENDS] };
            fs::write(&config, network.config(at, &place, allow)).expect("written");
            let server = Server::start(&config);
            let person =
                people::register(&mut server.client(), ["anna", "bert", "carla", "xaver"][at]);
            network.sites.push(Site { name, person, config, server: Some(server), place });
            network.lead_to(at);
        }
        network
    }

    fn config(&self, at: usize, place: &Place, allow: &[&str]) -> String {
        let (name, folder) = (NAMES[at], self.authority.path().display());
        let links = self.links.iter().filter(|((from, _), _)| *from == at);
        let addresses: String = links
            .map(|((_, to), link)| format!("\"{}\" = \"{}\"\n", NAMES[*to], link.address))
            .collect();
        let filter = std::env::var("BLAUPAUSE_TEST_LOG").unwrap_or_else(|_| "info".to_owned());
        format!(
            "[server]\nname = \"{name}\"\nlisten = [\"127.0.0.1:0\"]\n\
             [tls]\nlisten = [\"127.0.0.1:0\"]\n\
             cert_file = \"{folder}/{name}.pem\"\nkey_file = \"{folder}/{name}.key\"\n\
             [metrics]\nlisten = [\"127.0.0.1:0\"]\n\
             [log]\nformat = \"json\"\nfilter = \"{filter}\"\n{store}[media]\npath = \"{data}/media\"\n\
             [federation]\nmode = \"closed\"\nallow = {allow}\n\
             ca_file = \"{folder}/ca.pem\"\ntrust_system_roots = false\n{PAUSES}\
             [federation.addresses]\n{addresses}{more}",
            store = place.section(),
            data = place.path().display(),
            allow = json!(allow),
            // Keys without a section have to come first.
            more = OPEN.trim_start().replacen("upload_size_max = \"1 MiB\"\n", "", 1),
        )
    }

    fn lead_to(&self, at: usize) {
        let target = self.sites[at].server().tls.expect("it listens with TLS");
        for ((_, to), link) in &self.links {
            if *to == at {
                link.lead_to(target);
            }
        }
    }

    /// Start a server that was killed, on its data.
    pub fn start(&mut self, at: usize) {
        let site = &mut self.sites[at];
        site.server = Some(Server::start(&site.config));
        self.lead_to(at);
    }

    /// With whom a server speaks besides the three from now on.
    pub fn allow(&self, at: usize, more: &[&str]) {
        const DONE: &str = "read again with which servers this one speaks";
        let site = &self.sites[at];
        let allow: Vec<&str> = NAMES[..FRIENDS].iter().chain(more).copied().collect();
        fs::write(&site.config, self.config(at, &site.place, &allow)).expect("written");
        let before = site.server().said(DONE);
        let signal = rustix::process::Signal::HUP;
        rustix::process::kill_process(site.server().id(), signal).expect("it runs");
        until("the list is read again", || is_so(site.server().said(DONE) > before));
    }

    pub fn link(&self, from: usize, to: usize) -> &Link {
        &self.links[&(from, to)]
    }

    /// The links between some servers and all others, in both directions.
    pub fn between(&self, some: &[usize]) -> Vec<&Link> {
        let links = self.links.iter();
        let links = links.filter(|((from, to), _)| some.contains(from) != some.contains(to));
        links.map(|(_, link)| link).collect()
    }

    /// No server has said anything that it should not.
    pub fn is_content(&self) {
        for site in &self.sites {
            assert_eq!(site.server().complaints(), Vec::<String>::new(), "{}", site.name);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test waits for other processes")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "between two looks, not for timing")]
fn pause() {
    std::thread::sleep(LOOK_EVERY);
}

/// Look again and again, for as long as a test has patience; says what was seen last.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = now() + PATIENCE;
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(seen) if now() > end => panic!("not seen: {what}\n{seen}"),
            Err(_) => pause(),
        }
    }
}

/// For [`until`]: it is so, or not yet.
pub fn is_so(so: bool) -> Result<(), String> {
    if so { Ok(()) } else { Err(String::new()) }
}

/// A folder with the authority's certificate, and certificate and key of each name.
fn authority(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = params.self_signed(&key).expect("a certificate");
    let write = |file: &str, text: String| write_to(folder.path(), file, &text);
    write("ca.pem", certificate.pem());
    let issuer = Issuer::new(params, key);
    for name in names {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([(*name).to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        write(&format!("{name}.pem"), certificate.pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
    folder
}

fn write_to(folder: &Path, file: &str, text: &str) {
    fs::write(folder.join(file), text).expect("written");
}
