use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    PgClusterBuilder,
    start::{Owner, as_owner, free_port},
};

/// Between two looks whether the server answers.
const POLL: Duration = Duration::from_millis(20);
/// Looks before a start or an end counts as failed: a minute.
const POLLS_MAX: usize = 3_000;

/// Waits for the end of its input, ends the server and deletes its folder; not for ever, because
/// nobody may be left to bury the server's process.
const WATCH: &str = "read _; kill -QUIT \"$0\"
    for n in 1 2 3 4 5 6 7 8 9 10; do kill -0 \"$0\" 2>/dev/null && sleep 0.5; done
    cd /; rm -rf \"$1\"";

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every process of the server is killed at once (SIGKILL), as by the kernel for want of
    /// memory.
    Kill,
    /// Clients are thrown out, the rest is done properly.
    Fast,
}

/// A running cluster. Ends and is deleted with its handle.
#[derive(Debug)]
pub struct PgCluster {
    programs: PathBuf,
    owner: Option<Owner>,
    port: u16,
    server: Option<Running>,
    databases: AtomicU32,
    folder: TempDir,
}

/// The postmaster, and the shell that ends it when this process is gone.
#[derive(Debug)]
struct Running {
    postmaster: Child,
    watchdog: Child,
}

impl PgCluster {
    /// How to make one.
    pub fn builder() -> PgClusterBuilder {
        PgClusterBuilder::default()
    }

    /// An ordinary cluster; `None` and a printed line if PostgreSQL is to be skipped.
    pub fn start() -> Option<Self> {
        Self::builder().start()
    }

    pub(crate) fn launch(
        folder: TempDir,
        programs: PathBuf,
        owner: Option<Owner>,
        attempts: usize,
    ) -> Self {
        let databases = AtomicU32::new(0);
        let mut cluster = Self { programs, owner, port: 0, server: None, databases, folder };
        for _ in 0..attempts {
            cluster.port = free_port();
            if cluster.run() {
                return cluster;
            }
        }
        panic!("PostgreSQL does not start:\n{}", cluster.log());
    }

    /// The port on 127.0.0.1. It stays the same over a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The processes of the server: the postmaster first, then one for each connection and task.
    pub fn processes(&self) -> Vec<u32> {
        let Some(running) = &self.server else { return Vec::new() };
        let postmaster = running.postmaster.id();
        [vec![postmaster], children_of(postmaster)].concat()
    }

    /// The folder with PostgreSQL's data and configuration.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of the Unix socket.
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new, empty database; the result is its name.
    ///
    /// # Panics
    /// If the server does not run.
    pub fn new_database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.psql("postgres", &format!("create database {name} template template0"));
        name
    }

    /// How a client reaches a database, over TCP.
    pub fn dsn(&self, database: &str) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname={database}", self.port)
    }

    /// Run SQL as the superuser, each statement by itself. The result is what `psql` prints, rows
    /// in lines and columns between `|`.
    ///
    /// # Panics
    /// If a statement fails.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let ran = as_owner(&self.programs.join("psql"), self.owner)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres"])
            .arg("-h")
            .arg(self.socket_folder())
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("psql runs");
        assert!(ran.status.success(), "{sql}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).trim_end().to_owned()
    }

    /// End the server; its data stays for [`PgCluster::restart`].
    pub fn stop(&mut self, ending: Ending) {
        let Some(mut running) = self.server.take() else { return };
        let _ = running.watchdog.kill();
        let _ = running.watchdog.wait();
        let backends = children_of(running.postmaster.id());
        match ending {
            Ending::Kill => {
                let _ = running.postmaster.kill();
                backends.iter().for_each(|pid| send(*pid, Signal::KILL));
            }
            Ending::Fast => send(running.postmaster.id(), Signal::INT),
        }
        let _ = running.postmaster.wait();
        // The next start needs their shared memory gone.
        for _ in 0..POLLS_MAX {
            if !backends.iter().any(|pid| is_alive(*pid)) {
                break;
            }
            pause();
        }
    }

    /// Start the server again, on the same port.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.stop(Ending::Fast);
        assert!(self.run(), "PostgreSQL does not start again:\n{}", self.log());
    }

    /// What the server said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Start the server and wait until it answers; false if it ended instead.
    fn run(&mut self) -> bool {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("log can be written");
        let mut postmaster = as_owner(&self.programs.join("postgres"), self.owner)
            .arg("-D")
            .arg(self.data_folder())
            .args(["-c", "listen_addresses=127.0.0.1", "-p", &self.port.to_string()])
            .arg("-k")
            .arg(self.socket_folder())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log can be shared"))
            .stderr(log)
            .spawn()
            .expect("postgres can be started");
        let watchdog = self.watch(postmaster.id());
        for _ in 0..POLLS_MAX {
            if matches!(postmaster.try_wait(), Ok(Some(_))) {
                break;
            }
            if self.answers() {
                self.server = Some(Running { postmaster, watchdog });
                return true;
            }
            pause();
        }
        let mut failed = Running { postmaster, watchdog };
        let _ = failed.watchdog.kill();
        let _ = failed.watchdog.wait();
        let _ = failed.postmaster.kill();
        let _ = failed.postmaster.wait();
        false
    }

    /// A shell whose input ends when this process does, however that happens.
    fn watch(&self, postmaster: u32) -> Child {
        as_owner(Path::new("/bin/sh"), self.owner)
            .args(["-c", WATCH, &postmaster.to_string()])
            .arg(self.folder.path())
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell can be started")
    }

    fn answers(&self) -> bool {
        let status = Command::new(self.programs.join("pg_isready"))
            .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .stdin(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for PgCluster {
    fn drop(&mut self) {
        self.stop(Ending::Kill);
    }
}

fn pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// SIGKILL, if there is such a process.
pub(crate) fn kill(process: u32) {
    send(process, Signal::KILL);
}

fn send(to: u32, signal: Signal) {
    if let Some(to) = pid(to) {
        let _ = kill_process(to, signal);
    }
}

pub(crate) fn is_alive(process: u32) -> bool {
    // A zombie has no files any more, but its entry may stay until its parent asks.
    fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("Linux");
    let processes = entries.filter_map(Result::ok).filter_map(|entry| {
        let process: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // pid (name) state parent …, and the name may hold anything.
        let fields = stat.rsplit(')').next()?;
        let its_parent: u32 = fields.split_whitespace().nth(1)?.parse().ok()?;
        (its_parent == parent).then_some(process)
    });
    processes.collect()
}

#[expect(clippy::disallowed_methods, reason = "another program is waited for, outside any runtime")]
pub(crate) fn pause() {
    thread::sleep(POLL);
}
