//! Both images are started and looked at from outside: what docker/README.md promises is tried, not
//! read.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{Image, USER, build};
use crate::{authority, demo::answers};

/// A busy machine needs some seconds to start a program of this size for the first time.
const READY_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);

const CONFIG: &str = "/etc/blaupause/blaupause.toml";
const SERVER_NAME: &str = "trial.example";
/// Systems and their services have the numbers up to here, and people often the next ones.
const SYSTEM_USERS_MAX: u32 = 2000;
/// What keeps a container from changing anything but its data.
const LOCKED: [&str; 5] =
    ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"];

/// Start an image of the server and one of the test network, and remove both again.
///
/// # Errors
/// If one of them does not do what it should.
pub fn run(root: &Path, folder: &Path) -> Result<()> {
    server(root, folder)?;
    test_network(root, folder)
}

/// Names of this run, and their end: whatever the engine has of others is left alone.
struct Things {
    name: String,
}

impl Things {
    fn new(kind: &str) -> Self {
        Self { name: format!("blaupause-trial-{kind}-{}", std::process::id()) }
    }
}

impl Drop for Things {
    fn drop(&mut self) {
        let name = &self.name;
        for words in [["rm", "--force", name], ["volume", "rm", name], ["rmi", "--force", name]] {
            // Not all of them are there for each image.
            let _ = Command::new("docker").args(words).output();
        }
    }
}

fn server(root: &Path, folder: &Path) -> Result<()> {
    let things = Things::new("server");
    let name = things.name.as_str();
    build(root, folder, Image::Server, name)?;
    let config = folder.join("blaupause.toml");
    let wanted = ["--data-dir", "/var/lib/blaupause", "--listen", "0.0.0.0:8008"];
    let made = docker(
        &[&["run", "--rm", name, "generate-config", "--server-name", SERVER_NAME], &wanted[..]]
            .concat(),
    )?;
    fs::write(&config, made).context("cannot write a configuration")?;

    let mount = format!("{}:{CONFIG}:ro", config.display());
    let data = format!("{name}:/var/lib/blaupause");
    let locked = [&LOCKED[..], &["--volume", &mount, "--volume", &data]].concat();
    let create = [name, "user", "create", "anna", "--config", CONFIG];
    docker(&[&["run", "--rm"], &locked[..], &create].concat()).context("making an account")?;

    let health = ["--health-interval", "1s"];
    docker(&[&["run", "--detach", "--name", name], &locked[..], &health, &[name]].concat())?;
    wait_until_healthy(name)?;
    check_user(name)?;
    check_read_only(name, &config)?;
    docker(&["stop", "--time", "60", name])?;
    let code = docker(&["inspect", "--format", "{{.State.ExitCode}}", name])?;
    ensure!(code.trim() == "0", "the server ended with {} when it was stopped", code.trim());

    // The account is in the volume, and nowhere else.
    let again = docker(&[&["run", "--rm"], &locked[..], &create].concat());
    let refused = again.err().context("the data did not survive the container")?;
    ensure!(format!("{refused:#}").contains("taken"), "making the account again: {refused:#}");
    println!("the server: healthy, user {USER}, read-only, stops cleanly, keeps its data");
    Ok(())
}

fn wait_until_healthy(name: &str) -> Result<()> {
    let started = Instant::now();
    let format = "{{.State.Status}} {{.State.Health.Status}}";
    loop {
        let state = docker(&["inspect", "--format", format, name])?;
        match state.trim() {
            "running healthy" => return Ok(()),
            state if started.elapsed() > READY_MAX || !state.starts_with("running") => {
                bail!("the container is {state}; its log:\n{}", log(name));
            }
            _ => thread::sleep(LOOK_EVERY),
        }
    }
}

/// As the kernel sees it, not as the image says. An engine may move the numbers, upwards.
fn check_user(name: &str) -> Result<()> {
    let top = docker(&["top", name, "-eo", "uid,pid,comm"])?;
    let users = users(&top);
    let is_unprivileged = |user: &Option<u32>| user.is_some_and(|user| user > SYSTEM_USERS_MAX);
    ensure!(
        users.len() == 1 && users.iter().all(is_unprivileged),
        "not one process of a user above {SYSTEM_USERS_MAX}, but:\n{top}"
    );
    Ok(())
}

/// The first column of a table with a head.
fn users(top: &str) -> Vec<Option<u32>> {
    let user = |line: &str| line.split_whitespace().next()?.parse().ok();
    top.lines().skip(1).map(user).collect()
}

/// Not even the engine itself writes into it.
fn check_read_only(name: &str, file: &Path) -> Result<()> {
    let place = format!("{name}:/usr/local/bin/written");
    let Err(refused) = docker(&["cp", &file.to_string_lossy(), &place]) else {
        bail!("the container's file system can be written to");
    };
    ensure!(format!("{refused:#}").contains("read-only"), "writing into it: {refused:#}");
    Ok(())
}

fn test_network(root: &Path, folder: &Path) -> Result<()> {
    let things = Things::new("network");
    let name = things.name.as_str();
    build(root, folder, Image::TestNetwork, name)?;
    let keys = folder.join("authority");
    authority::ensure(&keys, "Blaupause trial", &[])?;
    let variable = format!("SERVER_NAME={SERVER_NAME}");
    let ports = ["--publish", "127.0.0.1::8008", "--publish", "127.0.0.1::8448"];
    docker(&[&["create", "--name", name, "--env", &variable], &ports[..], &[name]].concat())?;
    for (file, place) in [("ca.pem", "ca.crt"), ("ca.key", "ca.key")] {
        // As who makes test networks does it: the key may belong to anybody there.
        let copy = keys.join(place);
        let text = fs::read(keys.join(file)).context("cannot read the authority")?;
        authority::write_readable(&copy, &text)?;
        docker(&["cp", &copy.to_string_lossy(), &format!("{name}:/complement/ca/{place}")])?;
    }
    docker(&["start", name])?;
    let address = |port: &str| -> Result<String> {
        let ports = docker(&["port", name, port])?;
        ports.lines().next().map(str::to_owned).with_context(|| format!("{port} is not open"))
    };
    let (plain, tls) = (address("8008/tcp")?, address("8448/tcp")?);
    let started = Instant::now();
    while !answers(&plain, "/_matrix/client/versions") {
        ensure!(started.elapsed() < READY_MAX, "no answer; the log:\n{}", log(name));
        thread::sleep(LOOK_EVERY);
    }
    authority::check_server(&keys, &tls, SERVER_NAME)?;
    println!("the test network's server: answers, with a certificate of the given authority");
    Ok(())
}

/// Run a command of the engine; gives what it prints.
fn docker(words: &[&str]) -> Result<String> {
    let output = Command::new("docker")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .context("cannot start docker")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    bail!("docker {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim())
}

fn log(name: &str) -> String {
    let output = Command::new("docker").args(["logs", "--tail", "40", name]).output();
    output.map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_from_the_engines_table() {
        let top = "UID    PID    COMMAND\n10001  4711   blaupause\n0      4712   sh\n";
        assert_eq!(users(top), [Some(10001), Some(0)]);
        assert_eq!(users("UID PID COMMAND\nanna 1 sh\n"), [None]);
        assert!(users("UID PID COMMAND\n").is_empty());
    }
}
