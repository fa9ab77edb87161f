//! `cargo xtask demo --agencies 3`: a ministry, a Land and a municipality with a server each, linked
//! with each other and closed to everybody else, and one encrypted room that their people share.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
    sync::mpsc::{Receiver, RecvTimeoutError},
};

use anyhow::{Context, Result, bail};

use super::{
    LOOK_EVERY, Wanted, build, check_free, data_folder, http,
    people::{self, Person},
    serve, stop_signals, terminate, wait_until_it_answers, write_config,
};
use crate::{authority, dirs::Dirs, tools::Tools};

/// Name of the server, what it is, and who works there.
const AGENCIES: [(&str, &str, [&str; 2]); 3] = [
    ("bund.localhost", "a ministry", ["anna", "ben"]),
    ("land.localhost", "a Land", ["carla", "david"]),
    ("stadt.localhost", "a municipality", ["emma", "felix"]),
];

/// Clients reach the first agency here, the next ones on the next ports; other servers 440 above.
const PORT: u16 = 8008;
const FEDERATION_ABOVE: u16 = 440;
const ROOM_NAME: &str = "Lagebesprechung";

/// One agency of the demo.
struct Agency {
    name: &'static str,
    kind: &'static str,
    people: [&'static str; 2],
    folder: PathBuf,
    port: u16,
}

impl Agency {
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn federation(&self) -> String {
        format!("127.0.0.1:{}", self.port + FEDERATION_ABOVE)
    }

    fn config(&self) -> PathBuf {
        self.folder.join("blaupause.toml")
    }
}

/// Build, prepare, run, until Ctrl-C.
///
/// # Errors
/// If anything on the way fails; the message says what to do.
pub fn run(dirs: &Dirs, wanted: &Wanted, count: usize) -> Result<()> {
    let folder = data_folder(dirs, &wanted.data.join("agencies"))?;
    let first = wanted.port.unwrap_or(PORT);
    let agencies: Vec<Agency> = AGENCIES
        .into_iter()
        .take(count)
        .zip(first..)
        .map(|((name, kind, people), port)| Agency {
            name,
            kind,
            people,
            folder: folder.join(name),
            port,
        })
        .collect();
    for agency in &agencies {
        check_free(&agency.address())?;
        check_free(&agency.federation())?;
    }
    let tools = Tools::prepare(dirs)?;
    build(&tools, wanted.release)?;
    let server = dirs.server(wanted.release);
    let names: Vec<&str> = agencies.iter().map(|agency| agency.name).collect();
    authority::ensure(&folder, "Blaupause demo", &names)?;
    let mut people = Vec::new();
    for agency in &agencies {
        people::make_private_folder(&agency.folder)?;
        configure(&server, &folder, agency, &agencies)?;
        people.push(people::ensure(&server, &agency.config(), &agency.folder, &agency.people)?);
    }
    let signals = stop_signals()?;
    let mut children = Vec::new();
    for agency in &agencies {
        println!("\nstarting {} …", agency.name);
        let mut child = serve(&server, &agency.config())?;
        let answers = wait_until_it_answers(&mut child, &agency.address(), &signals);
        children.push(child);
        match answers {
            Ok(true) => {}
            Ok(false) => return stop(children),
            Err(error) => {
                stop(children)?;
                return Err(error);
            }
        }
    }
    if let Err(error) = meet(&folder, &agencies, &people) {
        stop(children)?;
        return Err(error.context("the agencies do not find together"));
    }
    println!("{}", welcome(&agencies, &people, &folder));
    watch(children, &signals)
}

fn configure(server: &Path, folder: &Path, agency: &Agency, all: &[Agency]) -> Result<()> {
    let config = agency.config();
    if config.exists() {
        return Ok(());
    }
    write_config(server, agency.name, &config, &agency.folder, &agency.address())?;
    let mut text = fs::read_to_string(&config).context("cannot read what was just written")?;
    text.push_str(&links(folder, agency, all));
    fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))
}

/// The part of the configuration that links an agency with the others.
fn links(folder: &Path, agency: &Agency, all: &[Agency]) -> String {
    let file = |name: String| folder.join(name).display().to_string();
    let others: Vec<&Agency> = all.iter().filter(|other| other.name != agency.name).collect();
    let allow: Vec<String> = others.iter().map(|other| format!("{:?}", other.name)).collect();
    let mut text = format!(
        "
[tls]
# Where the other agencies' servers reach this one.
listen = [\"{}\"]
cert_file = {:?}
key_file = {:?}

[federation]
# Open to each other, closed to the world.
mode = \"closed\"
allow = [{}]
ca_file = {:?}
trust_system_roots = false

[federation.addresses]
",
        agency.federation(),
        file(format!("{}.pem", agency.name)),
        file(format!("{}.key", agency.name)),
        allow.join(", "),
        file("ca.pem".to_owned()),
    );
    for other in others {
        text.push_str(&format!("{:?} = {:?}\n", other.name, other.federation()));
    }
    text
}

/// Everybody comes into one encrypted room, the first time.
fn meet(folder: &Path, agencies: &[Agency], people: &[Vec<Person>]) -> Result<()> {
    let met = folder.join("room");
    if met.exists() {
        return Ok(());
    }
    println!("\neverybody joins a room …");
    let mut tokens = Vec::new();
    for (agency, people) in agencies.iter().zip(people) {
        for person in people {
            let id = format!("@{}:{}", person.name, agency.name);
            tokens.push((id, agency.address(), sign_in(agency, person)?));
        }
    }
    let (_, home, host) = tokens.first().context("nobody is there")?;
    let invited: Vec<String> = tokens.iter().skip(1).map(|(id, ..)| format!("{id:?}")).collect();
    let wish = format!(
        r#"{{"name":"{ROOM_NAME}","preset":"private_chat","invite":[{}],"initial_state":[{{"type":"m.room.encryption","state_key":"","content":{{"algorithm":"m.megolm.v1.aes-sha2"}}}}]}}"#,
        invited.join(",")
    );
    let made = http::post(home, "/_matrix/client/v3/createRoom", Some(host), &wish)?;
    let room = http::field(&made, "room_id").context("the new room has no id")?;
    for (id, address, token) in tokens.iter().skip(1) {
        let path = format!("/_matrix/client/v3/join/{}", http::segment(&room));
        http::post(address, &path, Some(token), "{}").with_context(|| format!("{id} joins"))?;
        println!("{id} is in the room");
    }
    for (_, address, token) in &tokens {
        http::post(address, "/_matrix/client/v3/logout", Some(token), "{}")?;
    }
    fs::write(&met, &room).with_context(|| format!("cannot write {}", met.display()))
}

fn sign_in(agency: &Agency, person: &Person) -> Result<String> {
    let wish = format!(
        r#"{{"type":"m.login.password","identifier":{{"type":"m.id.user","user":"{}"}},"password":"{}"}}"#,
        person.name, person.password
    );
    let answer = http::post(&agency.address(), "/_matrix/client/v3/login", None, &wish)?;
    http::field(&answer, "access_token").context("signing in gives no token")
}

fn welcome(agencies: &[Agency], people: &[Vec<Person>], folder: &Path) -> String {
    let mut text = "\n  Linked with each other, closed to everybody else:\n".to_owned();
    for (agency, people) in agencies.iter().zip(people) {
        let port = agency.port;
        text.push_str(&format!("\n  {}: http://localhost:{port}\n", agency.kind));
        for person in people {
            let user = format!("@{}:{}", person.name, agency.name);
            text.push_str(&format!("    {user:<26}password  {}\n", person.password));
        }
    }
    text.push_str(&format!(
        "
  All of them are in the encrypted room \"{ROOM_NAME}\". Sign in with Element (desktop or web), with
  another client or browser profile for each person: change the homeserver to the address above.

  Data, configuration, passwords, certificates: {}
  Ctrl-C stops the servers; the next start finds the same data.
",
        folder.display()
    ));
    text
}

/// Until one of them ends, or somebody wants to stop.
fn watch(mut children: Vec<Child>, signals: &Receiver<i32>) -> Result<()> {
    loop {
        for child in &mut children {
            if child.try_wait().context("lost sight of a server")?.is_some() {
                stop(children)?;
                bail!("a server ended by itself; its message stands above");
            }
        }
        if signals.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout) {
            println!("\nstopping");
            stop(children)?;
            println!("stopped. The data is kept; the next start finds it.");
            return Ok(());
        }
    }
}

fn stop(mut children: Vec<Child>) -> Result<()> {
    children.iter().try_for_each(terminate)?;
    for child in &mut children {
        child.wait().context("lost sight of a server")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agency(at: usize) -> Agency {
        let (name, kind, people) = AGENCIES[at];
        Agency { name, kind, people, folder: PathBuf::from("/d"), port: PORT + at as u16 }
    }

    #[test]
    fn an_agency_is_linked_with_the_others_only() {
        let all = [agency(0), agency(1), agency(2)];
        let text = links(Path::new("/d"), &all[1], &all);
        assert!(text.contains(r#"allow = ["bund.localhost", "stadt.localhost"]"#), "{text}");
        assert!(text.contains(r#""bund.localhost" = "127.0.0.1:8448""#), "{text}");
        assert!(!text.contains(r#""land.localhost" ="#), "{text}");
    }
}
