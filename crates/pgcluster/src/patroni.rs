//! Three servers under Patroni and etcd in synchronous mode, as a data centre runs them, for tests
//! of what happens when one dies.

mod config;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    cluster::{children_of, is_alive, kill, pause},
    start::{Owner, as_owner, free_ports, give, programs},
};

/// Set to a folder it says below which `usr/bin/etcd` and Patroni's Python packages are: `/` if
/// they are installed, or where Debian's packages were unpacked.
pub const TOOLS_FOLDER: &str = "BLAUPAUSE_FAILOVER_TOOLS";

/// Servers of the cluster.
const NODES: usize = 3;
/// A start with its two copies, and a failover, take seconds; busy machines more.
const PATIENCE: Duration = Duration::from_secs(90);
/// Of a question to an agent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A running cluster. Ends and is deleted with its handle, and also if the process is killed.
#[derive(Debug)]
pub struct Patroni {
    tools: PathBuf,
    programs: PathBuf,
    owner: Option<Owner>,
    nodes: Vec<Node>,
    etcd: Child,
    watchdog: Child,
    folder: TempDir,
}

/// A server and the agent that decides what it is.
#[derive(Debug)]
struct Node {
    name: String,
    port: u16,
    agent_port: u16,
    agent: Option<Child>,
}

/// What a node is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Primary,
    /// Has everything that was acknowledged.
    SyncStandby,
    Standby,
    Away,
}

impl Patroni {
    /// Make a cluster and wait until it has a primary and a synchronous standby.
    ///
    /// # Panics
    /// If [`TOOLS_FOLDER`] does not name the programs, or something does not start.
    pub fn start() -> Self {
        let tools = std::env::var_os(TOOLS_FOLDER).map(PathBuf::from).unwrap_or_else(|| {
            panic!("{TOOLS_FOLDER} is not set; run this as: cargo xtask failover")
        });
        let programs = programs().expect("PostgreSQL is installed");
        let owner = Owner::find();
        let folder =
            tempfile::Builder::new().prefix("patroni-").tempdir().expect("temporary folder");
        give(folder.path(), owner);
        let tools = readable_by(owner, tools, folder.path());
        let ports = free_ports(2 * NODES + 2);
        let (etcd_ports, ports) = ports.split_at(2);
        let etcd = start_etcd(&tools, owner, folder.path(), etcd_ports[0], etcd_ports[1]);
        let watchdog = watch(owner, folder.path(), etcd.id());
        let nodes = (0..NODES).map(|number| Node {
            name: format!("node{number}"),
            port: ports[number],
            agent_port: ports[NODES + number],
            agent: None,
        });
        let nodes = nodes.collect();
        let mut cluster = Self { tools, programs, owner, nodes, etcd, watchdog, folder };
        cluster.write_configs(etcd_ports[0]);
        for number in 0..NODES {
            cluster.start_agent(number);
        }
        cluster.wait_for("a primary and its synchronous standby", |roles| {
            roles.contains(&Role::Primary)
                && roles.contains(&Role::SyncStandby)
                && !roles.contains(&Role::Away)
        });
        cluster
    }

    /// How a client reaches a database wherever the primary is.
    pub fn dsn(&self, database: &str) -> String {
        let of_nodes = |text: fn(&Node) -> String| -> String {
            self.nodes.iter().map(text).collect::<Vec<_>>().join(",")
        };
        let (hosts, ports) =
            (of_nodes(|_| "127.0.0.1".into()), of_nodes(|node| node.port.to_string()));
        format!(
            "host={hosts} port={ports} user=postgres dbname={database} \
             target_session_attrs=read-write"
        )
    }

    /// Make a database and wait until every node has it: a client that asks a standby for a
    /// database it has not yet heard of is refused instead of sent on.
    ///
    /// # Panics
    /// If there is no primary.
    pub fn make_database(&self, name: &str) {
        self.psql("postgres", &format!("create database {name}"));
        let knows_it = |node: &Node| {
            let dsn = format!("host=127.0.0.1 port={} user=postgres dbname={name}", node.port);
            self.run_psql(&dsn, "select 1").is_ok()
        };
        self.wait_for("database on every node", |_| self.nodes.iter().all(knows_it));
    }

    /// Run SQL on the primary; gives what `psql` prints, columns between `|`.
    ///
    /// # Panics
    /// If there is no primary or a statement fails.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let ran = self.run_psql(&self.dsn(database), sql);
        ran.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// What the nodes are, as their agents say.
    pub fn roles(&self) -> Vec<Role> {
        let role = |node: &Node| match node.role() {
            // Its agent says so when it begins to promote it.
            Role::Primary if !self.takes_writes(node) => Role::Standby,
            role => role,
        };
        self.nodes.iter().map(role).collect()
    }

    /// Kill every process of the primary and its agent at once, as a machine that loses power.
    /// Gives the node's number.
    ///
    /// # Panics
    /// If there is no primary.
    pub fn kill_primary(&mut self) -> usize {
        let roles = self.roles();
        let number = roles.iter().position(|role| *role == Role::Primary);
        let number = number.unwrap_or_else(|| panic!("no primary among {roles:?}"));
        let postmaster = self.postmaster(number).expect("the primary runs");
        // The agent first: it would start the server again.
        if let Some(mut agent) = self.nodes[number].agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        let backends = children_of(postmaster);
        kill(postmaster);
        backends.iter().copied().for_each(kill);
        number
    }

    /// Let a killed node come back; its agent makes it a standby.
    pub fn revive(&mut self, number: usize) {
        self.start_agent(number);
    }

    /// Wait for a state of the cluster.
    ///
    /// # Panics
    /// If it does not come in a minute and a half; with what the agents said.
    pub fn wait_for(&self, what: &str, is_so: impl Fn(&[Role]) -> bool) {
        let mut roles = self.roles();
        let mut waited = Duration::ZERO;
        while !is_so(&roles) {
            assert!(waited < PATIENCE, "no {what}: {roles:?}\n{}", self.said());
            pause();
            // Questions to agents take time too; the bound is a rough one.
            waited += Duration::from_millis(100);
            thread::yield_now();
            roles = self.roles();
        }
    }

    /// The last lines of the logs of agents and servers.
    pub fn said(&self) -> String {
        let mut text = String::new();
        for name in self.nodes.iter().map(|node| node.name.as_str()).chain(["etcd"]) {
            let log = fs::read_to_string(self.folder.path().join(format!("{name}.log")));
            let log = log.unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(15)..].join("\n  ");
            text.push_str(&format!("{name}:\n  {tail}\n"));
        }
        text
    }

    fn takes_writes(&self, node: &Node) -> bool {
        let dsn = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", node.port);
        self.run_psql(&dsn, "select pg_is_in_recovery()").is_ok_and(|answer| answer == "f")
    }

    fn run_psql(&self, dsn: &str, sql: &str) -> Result<String, String> {
        let ran = as_owner(&self.programs.join("psql"), self.owner)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, dsn])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("psql runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if ran.status.success() { Ok(text(&ran.stdout)) } else { Err(text(&ran.stderr)) }
    }

    fn write_configs(&self, etcd_port: u16) {
        for node in &self.nodes {
            let text = config::of_node(&config::Wanted {
                name: &node.name,
                port: node.port,
                agent_port: node.agent_port,
                etcd_port,
                folder: self.folder.path(),
                programs: &self.programs,
            });
            let file = self.folder.path().join(format!("{}.yml", node.name));
            fs::write(&file, text).expect("configuration can be written");
            give(&file, self.owner);
        }
    }

    fn start_agent(&mut self, number: usize) {
        let name = self.nodes[number].name.clone();
        let mut agent = as_owner(Path::new("/usr/bin/python3"), self.owner);
        agent
            .args(["-m", "patroni", &format!("{name}.yml")])
            .env("PYTHONPATH", self.tools.join("usr/lib/python3/dist-packages"));
        let agent = spawn(&mut agent, self.folder.path(), &name);
        self.nodes[number].agent = Some(agent);
    }

    fn postmaster(&self, number: usize) -> Option<u32> {
        let file = self.folder.path().join(&self.nodes[number].name).join("postmaster.pid");
        fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        for node in &mut self.nodes {
            if let Some(mut agent) = node.agent.take() {
                let _ = agent.kill();
                let _ = agent.wait();
            }
        }
        let _ = self.etcd.kill();
        let _ = self.etcd.wait();
        let postmasters = (0..NODES).filter_map(|number| self.postmaster(number));
        let postmasters: Vec<u32> = postmasters.filter(|process| is_alive(*process)).collect();
        for postmaster in postmasters {
            let backends = children_of(postmaster);
            kill(postmaster);
            backends.into_iter().for_each(kill);
        }
    }
}

impl Node {
    fn role(&self) -> Role {
        let is = |path| status(self.agent_port, path) == Some(200);
        if is("/primary") {
            Role::Primary
        } else if is("/sync") {
            Role::SyncStandby
        } else if is("/replica") {
            Role::Standby
        } else {
            Role::Away
        }
    }
}

/// Root's cache is closed to the user that PostgreSQL runs as: what lies there is copied.
fn readable_by(owner: Option<Owner>, tools: PathBuf, folder: &Path) -> PathBuf {
    let Some(owner) = owner.filter(|_| tools != Path::new("/")) else { return tools };
    let copy = folder.join("tools");
    let must = |command: &mut Command| {
        let done = command.status().is_ok_and(|status| status.success());
        assert!(done, "cannot copy {}", tools.display());
    };
    must(Command::new("cp").arg("-R").arg(&tools).arg(&copy));
    // The watchdog, which is no root either, has to be able to delete them.
    must(Command::new("chown").args(["-R", &owner.ids()]).arg(&copy));
    copy
}

/// The status an agent answers with.
fn status(port: u16, path: &str) -> Option<u16> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

fn start_etcd(tools: &Path, owner: Option<Owner>, folder: &Path, port: u16, peers: u16) -> Child {
    let (clients, peers) =
        (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peers}"));
    let mut etcd = as_owner(&tools.join("usr/bin/etcd"), owner);
    etcd.arg("--data-dir").arg(folder.join("etcd"));
    for (name, value) in [
        ("--listen-client-urls", clients.as_str()),
        ("--advertise-client-urls", &clients),
        ("--listen-peer-urls", &peers),
        ("--initial-advertise-peer-urls", &peers),
        ("--initial-cluster", &format!("default={peers}")),
    ] {
        etcd.args([name, value]);
    }
    spawn(&mut etcd, folder, "etcd")
}

/// A program whose output goes to a log and whose number to a file, for the watchdog.
fn spawn(command: &mut Command, folder: &Path, name: &str) -> Child {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join(format!("{name}.log")))
        .expect("log can be written");
    let child = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("log can be shared"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
    fs::write(folder.join(format!("{name}.agent")), child.id().to_string()).expect("written");
    child
}

/// A shell whose input ends when this process does, however that happens.
fn watch(owner: Option<Owner>, folder: &Path, etcd: u32) -> Child {
    let script = "read _
        for file in *.agent; do kill -KILL $(cat $file); done
        for file in */postmaster.pid; do kill -QUIT $(head -n 1 $file); done
        kill -KILL $0; cd /; rm -rf \"$1\"";
    as_owner(Path::new("/bin/sh"), owner)
        .args(["-c", script, &etcd.to_string()])
        .arg(folder)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell can be started")
}
