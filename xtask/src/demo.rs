//! `cargo xtask demo`: from a checkout to two people who can talk, until Ctrl-C.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    dirs::Dirs,
    progress::{self, human},
    tools::Tools,
};

mod agencies;
mod http;
mod people;
mod probe;

use people::Person;
pub use probe::answers;

const PORT: u16 = 8008;
const SERVER_NAME: &str = "localhost";
/// Who can sign in at it.
const NAMES: [&str; 2] = ["anna", "ben"];
/// Servers that `--agencies` can start.
const AGENCIES_MAX: usize = 3;
/// Opening a large database after a crash takes its time.
const START_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    /// None: what the configuration says, or [`PORT`] for a new one.
    port: Option<u16>,
    data: PathBuf,
    release: bool,
    /// So many linked servers instead of one.
    agencies: Option<usize>,
}

impl Wanted {
    /// # Errors
    /// If a word is unknown or a value is missing or cannot be.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut wanted =
            Self { port: None, data: PathBuf::from("data"), release: false, agencies: None };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--port" => {
                    let text = value()?;
                    let port = text.parse().ok().filter(|port| *port != 0);
                    wanted.port =
                        Some(port.with_context(|| format!("{text:?} is not a port (1 to 65535)"))?);
                }
                "--data" => wanted.data = PathBuf::from(value()?),
                "--release" => wanted.release = true,
                "--agencies" => {
                    let text = value()?;
                    let count =
                        text.parse().ok().filter(|count| (2..=AGENCIES_MAX).contains(count));
                    let count = count.with_context(|| {
                        format!("there are 2 or {AGENCIES_MAX} agencies, not {text:?}")
                    })?;
                    wanted.agencies = Some(count);
                }
                other => {
                    bail!("demo knows --agencies N, --port N, --data DIR, --release, not {other:?}")
                }
            }
        }
        Ok(wanted)
    }
}

/// Build, prepare, run.
///
/// # Errors
/// If anything on the way fails; the message says what to do.
pub fn run(dirs: &Dirs, wanted: &Wanted) -> Result<()> {
    if let Some(count) = wanted.agencies {
        return agencies::run(dirs, wanted, count);
    }
    let folder = data_folder(dirs, &wanted.data)?;
    let config = folder.join("blaupause.toml");
    let address = address(&config, wanted.port)?;
    // Before the minutes of building, not after.
    check_free(&address)?;

    let tools = Tools::prepare(dirs)?;
    build(&tools, wanted.release)?;
    let server = dirs.server(wanted.release);

    if config.exists() {
        println!("using {}", config.display());
    } else {
        write_config(&server, SERVER_NAME, &config, &folder, &address)?;
    }
    let people = people::ensure(&server, &config, &folder, &NAMES)?;

    let signals = stop_signals()?;
    println!("\nstarting the server …");
    let started = Instant::now();
    let mut child = serve(&server, &config)?;
    if !wait_until_it_answers(&mut child, &address, &signals)? {
        return stop(child);
    }
    println!("it answers after {}", human(started.elapsed()));
    println!("{}", welcome(&address, &people, &folder));
    watch(child, &signals)
}

/// Relative to where the command was typed; for the default that is nearly always the checkout.
fn data_folder(dirs: &Dirs, wanted: &Path) -> Result<PathBuf> {
    let here = env::current_dir().unwrap_or_else(|_| dirs.root.clone());
    let folder = here.join(wanted);
    people::make_private_folder(&folder)?;
    folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))
}

/// What the existing configuration says, or what a new one will say.
fn address(config: &Path, port: Option<u16>) -> Result<String> {
    let Ok(text) = fs::read_to_string(config) else {
        return Ok(format!("127.0.0.1:{}", port.unwrap_or(PORT)));
    };
    let listen = listen_in(&text).with_context(|| {
        format!("{} has no line `listen = [\"127.0.0.1:8008\"]`", config.display())
    })?;
    if let Some(port) = port.filter(|port| !listen.ends_with(&format!(":{port}"))) {
        bail!(
            "{} says listen = [\"{listen}\"]; change the port there to {port}, \
             or start with another --data folder",
            config.display()
        );
    }
    Ok(listen)
}

/// The first address of the first line `listen = […]`.
fn listen_in(config: &str) -> Option<String> {
    let line = config
        .lines()
        .map(str::trim)
        .find(|line| line.split_once('=').is_some_and(|(key, _)| key.trim() == "listen"))?;
    line.split('"').nth(1).map(str::to_owned)
}

fn check_free(address: &str) -> Result<()> {
    TcpListener::bind(address).map(drop).with_context(|| {
        format!("cannot listen on {address}; is a server running there? Try --port 8009")
    })
}

fn build(tools: &Tools, release: bool) -> Result<()> {
    println!("\nbuilding the server …");
    let mut cargo = tools.cargo();
    cargo.args(["build", "--bin", "blaupause"]);
    if release {
        cargo.arg("--release");
    }
    progress::run(&mut cargo, "building the server")
}

fn write_config(
    server: &Path,
    name: &str,
    config: &Path,
    folder: &Path,
    address: &str,
) -> Result<()> {
    let output = Command::new(server)
        .args(["generate-config", "--server-name", name, "--listen", address, "--data-dir"])
        .arg(folder)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", server.display()))?;
    progress::check(output.status, "blaupause generate-config")?;
    fs::write(config, output.stdout)
        .with_context(|| format!("cannot write {}", config.display()))?;
    println!("wrote {}", config.display());
    Ok(())
}

/// SIGINT and SIGTERM, as they come.
fn stop_signals() -> Result<Receiver<i32>> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot wait for signals")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for signal in signals.forever() {
            if sender.send(signal).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// In a process group of its own: a terminal sends Ctrl-C to the whole group, and together with the
/// one passed on the server would get two, of which the second means "at once".
fn serve(server: &Path, config: &Path) -> Result<Child> {
    use std::os::unix::process::CommandExt;
    Command::new(server)
        .args(["serve", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", server.display()))
}

/// False if somebody wanted to stop meanwhile.
fn wait_until_it_answers(
    child: &mut Child,
    address: &str,
    signals: &Receiver<i32>,
) -> Result<bool> {
    let started = Instant::now();
    while started.elapsed() < START_MAX {
        if let Some(status) = child.try_wait().context("lost sight of the server")? {
            bail!("the server ended at once ({status}); its message stands above");
        }
        if answers(address, "/_matrix/client/versions") {
            return Ok(true);
        }
        if signals.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout) {
            return Ok(false);
        }
    }
    terminate(child)?;
    child.wait().context("lost sight of the server")?;
    bail!("the server did not answer within {}", human(START_MAX))
}

/// Until the server ends: by itself, or because we pass on a signal.
fn watch(mut child: Child, signals: &Receiver<i32>) -> Result<()> {
    loop {
        if let Some(status) = child.try_wait().context("lost sight of the server")? {
            return progress::check(status, "the server");
        }
        if signals.recv_timeout(LOOK_EVERY).is_ok() {
            println!("\nstopping; a second Ctrl-C stops at once");
            terminate(&child)?;
            return wait_for_stop(child, signals);
        }
    }
}

fn wait_for_stop(mut child: Child, signals: &Receiver<i32>) -> Result<()> {
    loop {
        if let Some(status) = child.try_wait().context("lost sight of the server")? {
            progress::check(status, "the server")?;
            println!("stopped. The data is kept; the next start finds it.");
            return Ok(());
        }
        if signals.recv_timeout(LOOK_EVERY).is_ok() {
            terminate(&child)?;
        }
    }
}

fn stop(mut child: Child) -> Result<()> {
    terminate(&child)?;
    let status = child.wait().context("lost sight of the server")?;
    progress::check(status, "the server")
}

/// The standard library can only kill; the shell has `kill` built in everywhere.
fn terminate(child: &Child) -> Result<()> {
    let line = format!("kill -TERM {}", child.id());
    let status = Command::new("sh").args(["-c", &line]).stderr(Stdio::null()).status();
    status.context("cannot pass on the signal").map(drop) // it may have ended by itself meanwhile
}

fn welcome(address: &str, people: &[Person], folder: &Path) -> String {
    let port = address.rsplit(':').next().unwrap_or_default();
    let mut text = format!("\n  Blaupause runs:   http://localhost:{port}\n\n");
    for person in people {
        let user = format!("@{}:{SERVER_NAME}", person.name);
        text.push_str(&format!("  {user:<18}password  {}\n", person.password));
    }
    text.push_str(&format!(
        "
  Clients on this machine: Element (desktop or web), Nheko, Fractal, Cinny, iamb, …
  Choose \"Sign in\", change the homeserver to http://localhost:{port}, and use a name and
  password from above. Take two clients or two browser profiles to talk to each other.
  Element X on an Android emulator: adb reverse tcp:{port} tcp:{port}, then the same address.

  Data, configuration, passwords: {}
  Ctrl-C stops the server; the next start finds the same data.
",
        folder.display()
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Wanted> {
        Wanted::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_command_line_is_understood() {
        let plain = parse(&[]).unwrap();
        assert_eq!(
            plain,
            Wanted { port: None, data: "data".into(), release: false, agencies: None }
        );
        let full = parse(&["--port", "9000", "--data", "/d", "--release", "--agencies", "3"]);
        let wanted =
            Wanted { port: Some(9000), data: "/d".into(), release: true, agencies: Some(3) };
        assert_eq!(full.unwrap(), wanted);
        let wrongs = [&["--port"][..], &["--port", "0"], &["--port", "x"], &["--agencies", "4"]];
        for wrong in wrongs {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_address_comes_from_the_configuration() {
        let text = "# listen = [\"a\"]\n[server]\nlisten = [\"127.0.0.1:8008\", \"[::1]:1\"]\n";
        assert_eq!(listen_in(text).as_deref(), Some("127.0.0.1:8008"));
        assert_eq!(listen_in("[server]\nname = \"a\"\n"), None);
        assert_eq!(listen_in("listen = []"), None);
    }

    #[test]
    fn a_new_configuration_gets_the_wanted_port() {
        let nowhere = Path::new("/nonexistent/blaupause.toml");
        assert_eq!(address(nowhere, None).unwrap(), "127.0.0.1:8008");
        assert_eq!(address(nowhere, Some(9)).unwrap(), "127.0.0.1:9");
    }

    #[test]
    fn the_welcome_says_where_and_who() {
        let person = Person { name: "anna", password: "secret".into() };
        let text = welcome("127.0.0.1:8009", &[person], Path::new("/d"));
        for part in ["http://localhost:8009", "@anna:localhost", "secret", "/d"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
