//! A server under test for longer than one question: its log is read all the time (a full pipe
//! would stop it), and it can be killed and started again on the same data.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{self, Sender},
    },
    thread::JoinHandle,
};

use serde_json::Value;

use crate::{
    http::Client,
    place::Place,
    program::{PATIENCE, command},
    serve::configured,
};

/// Everything a test may do, and passwords that cost nothing.
pub const OPEN: &str = r#"
upload_size_max = "1 MiB"
[registration]
mode = "open"
guests = true
[login.argon2]
memory = "8 KiB"
passes = 1
[rate_limits]
enabled = false
"#;

/// A folder with a configuration that lets a test do what it wants.
pub fn open_to_everybody(extra: &str) -> (Place, PathBuf) {
    configured(&format!("{OPEN}{extra}"))
}

type Lines = Arc<Mutex<Vec<String>>>;

/// A running server. Killed when the test ends.
pub struct Server {
    child: Child,
    log: Lines,
    reader: Option<JoinHandle<()>>,
    pub address: SocketAddr,
    /// Of the pages for operators.
    pub operators: SocketAddr,
    /// With TLS, where the configuration asks for it.
    pub tls: Option<SocketAddr>,
}

impl Server {
    /// Start it and wait until it is ready.
    pub fn start(config: &Path) -> Self {
        let args = ["serve", "--config", config.to_str().expect("a text path")];
        let mut child = command(&args).stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = Lines::default();
        let (ready, is_ready) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let lines = Arc::clone(&log);
        let reader = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || read_log(stderr, &lines, &ready))
            .expect("a thread");
        let Ok(Addresses { public: address, operators, tls }) = is_ready.recv_timeout(PATIENCE)
        else {
            let _ = child.kill();
            panic!("the server did not start:\n{}", log.lock().expect("unpoisoned").join("\n"));
        };
        Self { child, log, reader: Some(reader), address, operators, tls }
    }

    pub const fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// SIGKILL: no chance to write anything.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader of the log ends with the server");
        }
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn id(&self) -> rustix::process::Pid {
        let id = i32::try_from(self.child.id()).expect("process ids are small");
        rustix::process::Pid::from_raw(id).expect("no process has the id 0")
    }

    /// How many lines of the log say this.
    pub fn said(&self, words: &str) -> usize {
        let log = self.log.lock().expect("unpoisoned");
        log.iter().filter(|line| line.contains(words)).count()
    }

    /// All of it, so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("unpoisoned").join("\n")
    }

    /// Lines of the log that should not be there: errors and panics.
    pub fn complaints(&self) -> Vec<String> {
        let is_bad =
            |line: &&String| line.contains("panicked at") || line.contains(r#""level":"ERROR""#);
        self.log.lock().expect("unpoisoned").iter().filter(is_bad).cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read_log(log: impl BufRead, lines: &Lines, ready: &Sender<Addresses>) {
    for line in log.lines().map_while(Result::ok) {
        if let Some(addresses) = addresses_in(&line) {
            // The start may have given up waiting.
            let _ = ready.send(addresses);
        }
        lines.lock().expect("unpoisoned").push(line);
    }
}

/// Where a server that is ready answers.
struct Addresses {
    public: SocketAddr,
    operators: SocketAddr,
    tls: Option<SocketAddr>,
}

fn addresses_in(line: &str) -> Option<Addresses> {
    let event: Value = serde_json::from_str(line).ok()?;
    if event["message"] != "ready" {
        return None;
    }
    let addresses: Value = serde_json::from_str(event["addresses"].as_str()?).ok()?;
    let first = |kind: &str| addresses[kind][0].as_str()?.parse().ok();
    let (public, operators) = (first("listen")?, first("metrics")?);
    Some(Addresses { public, operators, tls: first("tls") })
}

/// Make an administrator with the command line, while no server runs.
pub fn create_admin(config: &Path, name: &str, password: &str) {
    let file = config.with_file_name("password");
    fs::write(&file, password).expect("written");
    let (config, file) = (config.to_str().expect("text"), file.to_str().expect("text"));
    let args = ["user", "create", name, "--admin", "--config", config, "--password-file", file];
    let output = command(&args).output().expect("the program starts");
    assert!(output.status.success(), "{}", crate::program::complaint(&output));
}
