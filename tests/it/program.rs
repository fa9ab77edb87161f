//! Starting the program, reading what it says, ending it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::Value;

/// How long a test waits for what should take milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blaupause"));
    command.args(args).env_remove("BLAUPAUSE_LOG");
    command
}

/// Run a command to its end.
pub fn run(args: &[&str]) -> Output {
    command(args).output().expect("the program starts")
}

/// Standard error as text.
pub fn complaint(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are text")
}

/// A running server. Killed if the test ends without stopping it.
pub struct Running {
    child: Child,
    log: BufReader<ChildStderr>,
    addresses: Value,
}

impl Running {
    /// Start the server and wait until it says that it is ready. The file must ask for JSON logs.
    pub fn start(config: &Path, ready_file: Option<&Path>) -> Self {
        let config = config.to_str().expect("a text path");
        let mut args = vec!["serve", "--config", config];
        if let Some(file) = ready_file {
            args.extend(["--ready-file", file.to_str().expect("a text path")]);
        }
        let mut child = command(&args).stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut running = Self { child, log, addresses: Value::Null };
        running.addresses = running.wait_until_ready();
        running
    }

    fn wait_until_ready(&mut self) -> Value {
        let ready = self.wait_for_log("ready");
        serde_json::from_str(ready["addresses"].as_str().expect("addresses")).expect("JSON")
    }

    /// Read the log up to a message: that waits exactly as long as the server needs.
    pub fn wait_for_log(&mut self, message: &str) -> Value {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let length = self.log.read_line(&mut line).expect("the log is text");
            assert_ne!(length, 0, "the server ended before it said `{message}`:\n{said}");
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["message"] == message {
                return event;
            }
            said.push_str(&line);
        }
    }

    /// The first address of a kind: `listen`, `tls`, `metrics`.
    pub fn address(&self, kind: &str) -> SocketAddr {
        self.addresses[kind][0].as_str().expect("an address").parse().expect("an address")
    }

    pub fn id(&self) -> rustix::process::Pid {
        let id = i32::try_from(self.child.id()).expect("process ids are small");
        rustix::process::Pid::from_raw(id).expect("no process has the id 0")
    }

    /// Ask for the end; gives the exit code and the rest of the log.
    pub fn stop(mut self) -> (Option<i32>, String) {
        rustix::process::kill_process(self.id(), rustix::process::Signal::TERM).expect("it runs");
        let (sender, ended) = mpsc::channel();
        std::thread::scope(|scope| {
            let log = &mut self.log;
            scope.spawn(move || {
                let mut rest = String::new();
                log.read_to_string(&mut rest).expect("the log is text");
                sender.send(rest).expect("somebody waits");
            });
            let Ok(rest) = ended.recv_timeout(PATIENCE) else {
                self.child.kill().expect("it runs");
                panic!("the server did not stop");
            };
            (self.child.wait().expect("it has ended").code(), rest)
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request on a connection of its own; gives the whole answer as text.
pub fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
}

/// Send bytes, read until the server closes.
pub fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
