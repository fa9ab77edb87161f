//! The measured server: started here, or running already.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use blaupause_pgcluster::PgCluster;
use http::Uri;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Engine, Wanted, peer::Authority};

const START_MAX: Duration = Duration::from_secs(60);
const SERVER_NAME: &str = "bench.example";

/// Where the questions go, and which processes are watched meanwhile.
pub struct Target {
    pub url: Uri,
    /// The server's name among servers.
    pub name: String,
    pids: Vec<u32>,
    own: Option<Own>,
}

/// A server of our own and its folder.
struct Own {
    child: Child,
    // Ends after the server.
    postgres: Option<PgCluster>,
    _folder: TempDir,
}

impl Drop for Own {
    fn drop(&mut self) {
        // After `close` it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the processes have used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time of all threads.
    pub cpu: Duration,
    /// Resident memory, bytes; of PostgreSQL, what its processes share counts once.
    pub rss: u64,
    /// The most that the server has had, without PostgreSQL.
    pub peak: u64,
}

impl Target {
    /// # Errors
    /// If the server does not start or does not answer.
    pub async fn open(wanted: &Wanted, cheap_passwords: bool) -> Result<Self> {
        Self::open_as(wanted, cheap_passwords, &Identity::alone()).await
    }

    /// A server that speaks with others: those whose certificate is of this authority.
    ///
    /// # Errors
    /// As [`Target::open`].
    pub async fn federating(wanted: &Wanted, authority: &Authority) -> Result<Self> {
        Self::open_as(wanted, true, &Identity::among_others(authority)?).await
    }

    async fn open_as(wanted: &Wanted, cheap_passwords: bool, identity: &Identity) -> Result<Self> {
        let target = match &wanted.url {
            Some(url) => {
                ensure!(url.scheme_str() == Some("http"), "--url must begin with http://");
                let name = wanted.server_name.clone().unwrap_or_default();
                Self { url: url.clone(), name, pids: wanted.pid.clone(), own: None }
            }
            None => start(wanted, cheap_passwords, identity).await?,
        };
        let mut client = crate::client::Client::new(&target.url);
        client.must(http::Method::GET, "/_matrix/client/versions", None).await?;
        Ok(target)
    }

    pub const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// None if no process is known: a server on another machine.
    pub fn usage(&self) -> Option<Usage> {
        let mut sum = Usage::default();
        for pid in &self.pids {
            let one = usage_of(&format!("/proc/{pid}")).ok()?;
            sum.cpu += one.cpu;
            sum.rss += one.rss;
            sum.peak += one.peak;
        }
        if let Some(postgres) = self.own.as_ref().and_then(|own| own.postgres.as_ref()) {
            let database = database_usage(postgres);
            sum.cpu += database.cpu;
            sum.rss += database.rss;
        }
        (!self.pids.is_empty()).then_some(sum)
    }

    /// Ask our own server to stop, so that an error at its end is seen.
    ///
    /// # Errors
    /// If it does not end well.
    pub fn close(mut self) -> Result<()> {
        let Some(own) = &mut self.own else { return Ok(()) };
        let pid = i32::try_from(own.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.context("a process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = own.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

/// This program's own use: it shares the machine with the server.
pub fn own_usage() -> Result<Usage> {
    usage_of("/proc/self")
}

fn usage_of(folder: &str) -> Result<Usage> {
    let stat = fs::read_to_string(format!("{folder}/stat"))?;
    // The second field is a name in parentheses that may hold anything; utime is field 14.
    let fields = stat.rsplit_once(") ").context("no name in stat")?.1.split(' ');
    let ticks: u64 = fields.skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    let status = fs::read_to_string(format!("{folder}/status"))?;
    let bytes = |name: &str| {
        let text = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(text.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    Ok(Usage {
        cpu: Duration::from_secs_f64(ticks as f64 / per_second as f64),
        rss: bytes("VmRSS:").context("no VmRSS in status")?,
        peak: bytes("VmHWM:").unwrap_or_default(),
    })
}

/// What a cluster of ours has used. Processes of connections that were closed meanwhile do not
/// count; the server keeps its connections.
fn database_usage(cluster: &PgCluster) -> Usage {
    let mut sum = Usage::default();
    for pid in cluster.processes() {
        // One that has just ended.
        let Ok(one) = usage_of(&format!("/proc/{pid}")) else { continue };
        sum.cpu += one.cpu;
        sum.rss += share_of_memory(pid).unwrap_or(0);
    }
    sum
}

/// Memory of a process with its share of what others map too.
fn share_of_memory(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn program(wanted: &Wanted) -> Result<PathBuf> {
    if let Some(server) = &wanted.server {
        return Ok(server.clone());
    }
    let beside = std::env::current_exe()?.with_file_name("blaupause");
    ensure!(
        beside.is_file(),
        "{} is not there: run `cargo xtask bench`, or name the program with --server",
        beside.display()
    );
    Ok(beside)
}

/// Who a server of our own is to others.
struct Identity {
    name: String,
    /// What of the configuration follows from that.
    sections: String,
}

impl Identity {
    fn alone() -> Self {
        Self { name: SERVER_NAME.to_owned(), sections: String::new() }
    }

    fn among_others(authority: &Authority) -> Result<Self> {
        // Free until somebody else takes it; its name has to say it before the server starts.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let [ca, certificate, key] =
            ["ca.pem", "localhost.pem", "localhost.key"].map(|name| authority.file(name));
        let sections = format!(
            "[tls]\nlisten = [\"127.0.0.1:{port}\"]\n\
             cert_file = \"{}\"\nkey_file = \"{}\"\n\
             [federation]\nmode = \"open\"\nca_file = \"{}\"\ntrust_system_roots = false\n\
             allowed_networks = [\"127.0.0.0/8\", \"::1/128\"]\n",
            certificate.display(),
            key.display(),
            ca.display()
        );
        Ok(Self { name: format!("localhost:{port}"), sections })
    }
}

async fn start(wanted: &Wanted, cheap_passwords: bool, identity: &Identity) -> Result<Target> {
    let folder = match &wanted.data {
        Some(folder) => TempDir::with_prefix_in("bench-", folder)?,
        None => TempDir::with_prefix("blaupause-bench-")?,
    };
    let config = folder.path().join("b.toml");
    let postgres = match wanted.engine {
        Engine::Rocksdb => None,
        Engine::Postgres => Some(start_postgres()?),
    };
    let store = match &postgres {
        None => format!("[storage]\npath = \"{}/db\"\n", folder.path().display()),
        Some(cluster) => {
            let dsn = cluster.dsn(&cluster.new_database());
            format!("[storage]\nengine = \"postgres\"\n[storage.postgres]\ndsn = \"{dsn}\"\n")
        }
    };
    fs::write(&config, configuration(folder.path(), &store, cheap_passwords, identity))?;
    let ready = folder.path().join("ready.json");
    let program = program(wanted)?;
    let child = Command::new(&program)
        .arg("serve")
        .arg("--config")
        .arg(&config)
        .arg("--ready-file")
        .arg(&ready)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut own = Own { child, postgres, _folder: folder };
    let url = wait_until_ready(&mut own.child, &ready).await?;
    let name = identity.name.clone();
    Ok(Target { url, name, pids: vec![own.child.id()], own: Some(own) })
}

/// As a site would run it on this machine: every commit is synced, what is hot fits into memory.
fn start_postgres() -> Result<PgCluster> {
    let cluster = PgCluster::builder()
        .set("fsync", "on")
        .set("full_page_writes", "on")
        .set("wal_compression", "on")
        .set("max_wal_size", "4GB")
        .set("shared_buffers", "512MB")
        .start();
    cluster.context("PostgreSQL is not installed: apt-get install postgresql")
}

/// The defaults, apart from what stands here.
fn configuration(folder: &Path, store: &str, cheap_passwords: bool, identity: &Identity) -> String {
    let (folder, Identity { name, sections }) = (folder.display(), identity);
    let argon2 =
        if cheap_passwords { "[login.argon2]\nmemory = \"8 KiB\"\npasses = 1\n" } else { "" };
    format!(
        "[server]\nname = \"{name}\"\nlisten = [\"127.0.0.1:0\"]\n\
         [log]\nfilter = \"error\"\n\
         {store}[media]\npath = \"{folder}/media\"\n\
         [registration]\nmode = \"open\"\n\
         [rate_limits]\nenabled = false\n\
         [push]\nallow_private_addresses = true\n{sections}{argon2}"
    )
}

async fn wait_until_ready(child: &mut Child, ready: &Path) -> Result<Uri> {
    let started = Instant::now();
    while started.elapsed() < START_MAX {
        if let Ok(text) = fs::read_to_string(ready)
            && let Ok(addresses) = serde_json::from_str::<Value>(&text)
        {
            let address = addresses["listen"][0].as_str().context("no address in use")?;
            return Ok(format!("http://{address}").parse()?);
        }
        if let Some(status) = child.try_wait()? {
            bail!("the server ended at the start: {status}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("the server was not ready within {} s", START_MAX.as_secs());
}
