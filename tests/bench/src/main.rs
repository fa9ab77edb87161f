//! Measures a homeserver from outside, as clients see it: `cargo xtask bench`.
//!
//! Knows nothing of Blaupause but its command line, so that `--url` measures any other homeserver
//! with the same questions. Start reading in `scenario/messages.rs`; `target.rs` starts and watches
//! the server, `client.rs` speaks HTTP, `report.rs` prints.
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time, and its clients are tasks of its own"
)]

mod client;
mod numbers;
mod peer;
mod people;
mod report;
mod scenario;
mod target;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::{peer::Authority, report::Report, target::Target};

/// Measure a homeserver. Without options: everything, against a server of its own on a fresh
/// folder, with durable acknowledgement.
#[derive(Clone, Debug, Parser)]
#[command(name = "blaupause-bench")]
pub struct Wanted {
    /// What to measure; several times for several.
    #[arg(long = "only", value_enum)]
    scenarios: Vec<Scenario>,
    /// The program to start. Default: `blaupause` beside this program.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Where the server of its own keeps its data: a folder, or a private PostgreSQL cluster on this
    /// machine that syncs every commit.
    #[arg(long, value_enum, default_value_t = Engine::Rocksdb, conflicts_with = "url")]
    engine: Engine,
    /// Measure a server that runs already, such as http://127.0.0.1:8008. It must allow open
    /// registration without a captcha, and its rate limits must be off. Plain HTTP only.
    #[arg(long, conflicts_with = "server")]
    url: Option<http::Uri>,
    /// With --url: the server's processes on this machine, for CPU and memory.
    #[arg(long, requires = "url")]
    pid: Vec<u32>,
    /// Where the server of its own keeps its data; a subfolder is made and deleted. The disk under
    /// it decides how long a message takes to be durable. Default: the system's temporary folder.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Registrations.
    #[arg(long, default_value_t = 1_000)]
    users: usize,
    /// Members of the room, each with a /sync that waits.
    #[arg(long, default_value_t = 100)]
    members: usize,
    /// Members who send, each one message after the other.
    #[arg(long, default_value_t = 16)]
    senders: usize,
    /// Messages sent into the room, after a tenth of that for warming up.
    #[arg(long, default_value_t = 4_000)]
    messages: usize,
    /// Rooms of the user whose first sync is measured.
    #[arg(long, default_value_t = 200)]
    rooms: usize,
    /// Messages in each of these rooms.
    #[arg(long, default_value_t = 20)]
    room_messages: usize,
    /// Clients that wait in /sync with nothing to see.
    #[arg(long, default_value_t = 1_000)]
    idle: usize,
    /// Members of the room whose messages are judged by push rules.
    #[arg(long, default_value_t = 500)]
    push_members: usize,
    /// Messages sent into it.
    #[arg(long, default_value_t = 500)]
    push_messages: usize,
    /// Rooms of the user of `many-rooms`.
    #[arg(long, default_value_t = 1_000)]
    many_rooms: usize,
    /// Messages that are searched.
    #[arg(long, default_value_t = 100_000)]
    search_messages: usize,
    /// Rooms they are in.
    #[arg(long, default_value_t = 20)]
    search_rooms: usize,
    /// Searches for each word.
    #[arg(long, default_value_t = 50)]
    searches: usize,
    /// Members of the room of another server that is joined.
    #[arg(long, default_value_t = 10_000)]
    join_members: usize,
    /// Members of the one with a long history.
    #[arg(long, default_value_t = 1_000)]
    history_members: usize,
    /// Messages of that history.
    #[arg(long, default_value_t = 50_000)]
    history_messages: usize,
    /// Servers that a room's messages go to.
    #[arg(long, default_value_t = 60)]
    servers: usize,
    /// Messages sent into it.
    #[arg(long, default_value_t = 500)]
    fan_out_messages: usize,
    /// Events that another server sends at once, after an absence.
    #[arg(long, default_value_t = 100_000)]
    backlog: usize,
    /// Rooms they are in.
    #[arg(long, default_value_t = 10)]
    backlog_rooms: usize,
    /// With --url: the server's name, for scenarios with other servers.
    #[arg(long, requires = "url")]
    server_name: Option<String>,
    /// For scenarios with other servers: a folder with ca.pem, localhost.pem and localhost.key;
    /// they are made if they are not there. A server that runs already must believe them.
    #[arg(long)]
    authority: Option<PathBuf>,
    /// The JSON file. Default: bench.json beside this program.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    Rocksdb,
    Postgres,
}

impl Engine {
    const fn name(self) -> &'static str {
        match self {
            Self::Rocksdb => "rocksdb",
            Self::Postgres => "postgres",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Registration of many users, with the password hash as configured by default.
    Register,
    /// One room: members who wait in /sync, some who send.
    Messages,
    /// The first /sync and sliding sync of a user in many rooms.
    FirstSync,
    /// Memory of an empty server and of many idle clients.
    Idle,
    /// Messages judged by the push rules of everybody in a room.
    Pushes,
    /// A user in a thousand rooms: everything, and what is new.
    ManyRooms,
    /// A rare and a frequent word in many messages.
    Search,
    /// Rooms of another server are joined: one with many members, one with a long history.
    Join,
    /// A room with people of many servers: each message goes to all of them.
    FanOut,
    /// Another server sends everything that was said during an absence.
    Backlog,
    /// Two servers, from a send on one to the /sync of the other.
    Between,
}

impl Scenario {
    const ALL: [Self; 11] = [
        Self::Register,
        Self::Messages,
        Self::FirstSync,
        Self::Idle,
        Self::Pushes,
        Self::ManyRooms,
        Self::Search,
        Self::Join,
        Self::FanOut,
        Self::Backlog,
        Self::Between,
    ];

    /// Whether other servers take part.
    const fn is_federated(self) -> bool {
        matches!(self, Self::Join | Self::FanOut | Self::Backlog | Self::Between)
    }
}

fn main() -> Result<()> {
    let wanted = Wanted::parse();
    // One thread drives all clients: what it takes from the machine stays the same everywhere, and
    // is reported.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::task::LocalSet::new().run_until(run(&wanted)))
}

async fn run(wanted: &Wanted) -> Result<()> {
    let mut report = Report::new(wanted)?;
    let scenarios =
        if wanted.scenarios.is_empty() { &Scenario::ALL[..] } else { &wanted.scenarios[..] };
    for scenario in scenarios {
        // A fresh server each: what one leaves in memory must not count for the next.
        let cheap_passwords = *scenario != Scenario::Register;
        let authority = Authority::open(wanted.authority.as_deref())?;
        let target = if scenario.is_federated() {
            Target::federating(wanted, &authority).await?
        } else {
            Target::open(wanted, cheap_passwords).await?
        };
        let lines = match scenario {
            Scenario::Register => scenario::register::run(wanted, &target).await?,
            Scenario::Messages => scenario::messages::run(wanted, &target).await?,
            Scenario::FirstSync => scenario::first_sync::run(wanted, &target).await?,
            Scenario::Idle => scenario::idle::run(wanted, &target).await?,
            Scenario::Pushes => scenario::pushes::run(wanted, &target).await?,
            Scenario::ManyRooms => scenario::many_rooms::run(wanted, &target).await?,
            Scenario::Search => scenario::search::run(wanted, &target).await?,
            Scenario::Join => scenario::join::run(wanted, &target, &authority).await?,
            Scenario::FanOut => scenario::fan_out::run(wanted, &target, &authority).await?,
            Scenario::Backlog => scenario::backlog::run(wanted, &target, &authority).await?,
            Scenario::Between => scenario::between::run(wanted, &target, &authority).await?,
        };
        report.add(lines);
        target.close()?;
    }
    report.finish(wanted)
}
