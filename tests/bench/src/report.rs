//! The table and the JSON file.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{Seek, SeekFrom, Write as _},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    Wanted,
    numbers::{ms, quantile, rounded},
    target::{Target, Usage, own_usage},
};

/// One measured figure.
#[derive(Debug)]
pub struct Line {
    pub scenario: &'static str,
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    /// What it means or what limits it; may be empty.
    pub note: String,
}

/// A figure without a note.
pub fn line(scenario: &'static str, what: &str, value: f64, unit: &'static str) -> Line {
    Line { scenario, what: what.to_owned(), value, unit, note: String::new() }
}

impl Line {
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// Everything measured so far.
pub struct Report {
    machine: Value,
    lines: Vec<Line>,
}

impl Report {
    /// Look at the machine first: its disk limits what is durable.
    ///
    /// # Errors
    /// If the folder for the data cannot be written to.
    pub fn new(wanted: &Wanted) -> Result<Self> {
        let sync = sync_time(wanted)?;
        let cores = cores();
        if wanted.url.is_none() {
            println!("engine: {}", wanted.engine.name());
        }
        println!("machine: {cores} cores, one synced write of 4 KiB takes {} ms", ms(sync));
        let machine = json!({ "cores": cores, "synced_write_ms": ms(sync), "cpu": cpu_name() });
        Ok(Self { machine, lines: Vec::new() })
    }

    pub fn add(&mut self, lines: Vec<Line>) {
        for line in &lines {
            println!("{}", row(line));
        }
        self.lines.extend(lines);
    }

    /// Print the whole table once more and write the file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(self, wanted: &Wanted) -> Result<()> {
        let mut table = String::new();
        for line in &self.lines {
            writeln!(table, "{}", row(line))?;
        }
        println!("\n{table}");
        let out = match &wanted.out {
            Some(out) => out.clone(),
            None => std::env::current_exe()?.with_file_name("bench.json"),
        };
        let results: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "scenario": line.scenario, "what": line.what, "value": line.value,
                    "unit": line.unit, "note": line.note,
                })
            })
            .collect();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let whole = json!({
            "at": at,
            "target": wanted.url.as_ref().map_or("blaupause".to_owned(), ToString::to_string),
            "engine": wanted.url.is_none().then(|| wanted.engine.name()),
            "machine": self.machine,
            "results": results,
        });
        fs::write(&out, format!("{whole:#}\n"))
            .with_context(|| format!("cannot write {}", out.display()))?;
        println!("written to {}", out.display());
        Ok(())
    }
}

fn row(line: &Line) -> String {
    let text = format!(
        "{:<11} {:<46} {:>9} {:<8} {}",
        line.scenario, line.what, line.value, line.unit, line.note
    );
    text.trim_end().to_owned()
}

/// Time and CPU between two moments, for the server and for this program.
pub struct Span {
    started: Instant,
    machine: Duration,
    server: Option<Usage>,
    own: Usage,
}

impl Span {
    pub fn start(target: &Target) -> Result<Self> {
        Ok(Self {
            started: Instant::now(),
            machine: machine_busy()?,
            server: target.usage(),
            own: own_usage()?,
        })
    }

    pub fn end(&self, target: &Target) -> Result<Spent> {
        let server = target.usage().zip(self.server);
        Ok(Spent {
            time: self.started.elapsed(),
            machine: machine_busy()?.saturating_sub(self.machine),
            server: server.map(|(now, then)| now.cpu.saturating_sub(then.cpu)),
            own: own_usage()?.cpu.saturating_sub(self.own.cpu),
        })
    }
}

/// What something took.
pub struct Spent {
    pub time: Duration,
    /// All programs on the machine.
    machine: Duration,
    /// None: the server's processes are not known.
    pub server: Option<Duration>,
    pub own: Duration,
}

impl Spent {
    /// Which resource was used up, from what was used of it.
    pub fn limit(&self) -> String {
        let time = self.time.as_secs_f64().max(0.001);
        let cores = cores() as f64;
        let own = self.own.as_secs_f64() / time;
        let Some(server) = self.server else {
            return format!("limit unknown (no --pid); the clients used {own:.2} cores");
        };
        let server = server.as_secs_f64() / time;
        let others = (self.machine.as_secs_f64() / time - server - own).max(0.0);
        let used = format!(
            "server {server:.2} + clients {own:.2} + other programs {others:.2} of {cores} cores"
        );
        if server + own + others > 0.85 * cores {
            format!("limited by CPU: {used}")
        } else if own > 0.85 {
            format!("limited by the clients' one thread: {used}")
        } else {
            format!("limited by waiting, mostly for synced writes: {used}")
        }
    }

    /// CPU seconds of the server for so many of something, per `per` of them.
    pub fn cpu_per(&self, count: usize, per: f64) -> Option<f64> {
        Some(rounded(self.server?.as_secs_f64() / count.max(1) as f64 * per))
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// CPU time of all programs since the machine started, without idling and waiting for disks.
fn machine_busy() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let fields = text.lines().next().context("no first line in /proc/stat")?;
    // user, nice, system, idle, iowait, irq, softirq, steal
    let ticks: Vec<u64> = fields.split_whitespace().filter_map(|text| text.parse().ok()).collect();
    let busy: u64 = [0, 1, 2, 5, 6].iter().filter_map(|at| ticks.get(*at)).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(busy as f64 / per_second as f64))
}

fn cpu_name() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown").to_owned()
}

/// The median time of a write that is synced, in the folder of the data.
fn sync_time(wanted: &Wanted) -> Result<Duration> {
    let folder = wanted.data.clone().unwrap_or_else(std::env::temp_dir);
    let mut file: File = tempfile::tempfile_in(&folder)
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    let mut times = Vec::new();
    for _ in 0..100 {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[7; 4096])?;
        let started = Instant::now();
        file.sync_data()?;
        times.push(started.elapsed());
    }
    Ok(quantile(&mut times, 0.5))
}
