use std::{
    fs::{self, Permissions},
    io,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{BIN_FOLDER, PgCluster, SWITCH};

/// Where Debian and others put the programs of each version, newest first in the search.
const VERSIONS_FOLDER: &str = "/usr/lib/postgresql";
/// Users that PostgreSQL may run as if the test runs as root.
const USERS: [&str; 2] = ["postgres", "nobody"];
/// Ports are taken by chance between finding a free one and using it.
const START_ATTEMPTS: usize = 5;

/// How a cluster is made. The superuser is `postgres`; whoever connects is trusted.
#[derive(Clone, Debug)]
pub struct PgClusterBuilder {
    settings: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
    hba: Option<String>,
}

impl Default for PgClusterBuilder {
    /// Small, and without fsync: what survives is what the processes wrote, which is enough for
    /// everything but a power loss.
    fn default() -> Self {
        let builder = Self { settings: Vec::new(), files: Vec::new(), hba: None };
        builder
            .set("fsync", "off")
            .set("full_page_writes", "off")
            .set("shared_buffers", "64MB")
            .set("max_connections", "100")
            .set("logging_collector", "off")
            .set("timezone", "UTC")
    }
}

impl PgClusterBuilder {
    /// A line of `postgresql.conf`; later ones win.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// A file in the data folder that only the server may read, such as a key.
    #[must_use]
    pub fn file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.into(), bytes.into()));
        self
    }

    /// The whole `pg_hba.conf`, instead of trusting everybody.
    #[must_use]
    pub fn hba(mut self, lines: &str) -> Self {
        self.hba = Some(lines.into());
        self
    }

    /// Make the cluster, start it and wait until it answers. `None` and a printed line if
    /// PostgreSQL is not installed or the switch says `skip`.
    ///
    /// # Panics
    /// If PostgreSQL is there but does not start.
    pub fn start(&self) -> Option<PgCluster> {
        if std::env::var_os(SWITCH).is_some_and(|value| value == "skip") {
            println!("skipped: {SWITCH}=skip leaves PostgreSQL out");
            return None;
        }
        let Some(programs) = programs() else {
            println!(
                "skipped: no PostgreSQL in {VERSIONS_FOLDER} (apt-get install postgresql; or set {BIN_FOLDER})"
            );
            return None;
        };
        let owner = Owner::find();
        let folder = self.init(&programs, owner);
        Some(PgCluster::launch(folder, programs, owner, START_ATTEMPTS))
    }

    /// A temporary folder with the data in `data`.
    fn init(&self, programs: &Path, owner: Option<Owner>) -> TempDir {
        let folder = tempfile::Builder::new().prefix("pg-").tempdir().expect("temporary folder");
        give(folder.path(), owner);
        let data = folder.path().join("data");
        let made = as_owner(&programs.join("initdb"), owner)
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"])
            .args(["--no-sync", "--no-instructions", "-D"])
            .arg(&data)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let lines: String =
            self.settings.iter().map(|(name, value)| format!("{name} = '{value}'\n")).collect();
        let conf = data.join("postgresql.conf");
        let before = fs::read_to_string(&conf).expect("initdb wrote it");
        write(&conf, (before + &lines).as_bytes(), owner);
        if let Some(hba) = &self.hba {
            write(&data.join("pg_hba.conf"), hba.as_bytes(), owner);
        }
        for (name, bytes) in &self.files {
            write(&data.join(name), bytes, owner);
        }
        folder
    }
}

/// Who runs PostgreSQL if not the user of the test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// As `chown` wants it.
    pub fn ids(self) -> String {
        format!("{}:{}", self.uid, self.gid)
    }

    /// `None` if the test is not run by root.
    pub fn find() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").expect("there are users");
        let find = |name: &str| {
            let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut numbers = line.split(':').skip(2).map(|field| field.parse().ok());
            Some(Self { uid: numbers.next()??, gid: numbers.next()?? })
        };
        let owner = USERS.into_iter().find_map(find);
        assert!(owner.is_some(), "PostgreSQL refuses root, and there is no user {USERS:?}");
        owner
    }
}

/// A command that runs as the owner of the cluster.
pub(crate) fn as_owner(program: &Path, owner: Option<Owner>) -> Command {
    let mut command = Command::new(program);
    if let Some(owner) = owner {
        command.uid(owner.uid).gid(owner.gid);
    }
    // Nothing of the developer's own database may leak in.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command
}

/// The folder of PostgreSQL's programs.
pub(crate) fn programs() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(BIN_FOLDER) {
        return Some(folder.into());
    }
    let versions = fs::read_dir(VERSIONS_FOLDER).ok()?;
    let bins = versions.filter_map(Result::ok).filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let bin = entry.path().join("bin");
        bin.join("initdb").exists().then_some((version, bin))
    });
    bins.max().map(|(_, bin)| bin)
}

pub(crate) fn give(path: &Path, owner: Option<Owner>) {
    if let Some(owner) = owner {
        std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid)).expect("root may chown");
    }
}

/// A file that only the owner may read.
fn write(path: &Path, bytes: &[u8], owner: Option<Owner>) {
    let written = || -> io::Result<()> {
        fs::write(path, bytes)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))
    };
    written().expect("files of the cluster can be written");
    give(path, owner);
}

/// Ports that are free at the moment, all different.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let bind = |_| TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let listeners: Vec<TcpListener> = (0..count).map(bind).collect();
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    listeners.iter().map(port).collect()
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}
