//! What an operator sees of a copy: lines while it runs, a table at its end.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write as _},
    time::{Duration, Instant},
};

use blaupause_store::copy::{Phase, Progress, Sums};

/// How often there is news: on a terminal the line is written over, in a log there are few lines.
const EVERY_ON_TERMINAL: Duration = Duration::from_millis(200);
const EVERY_IN_LOG: Duration = Duration::from_secs(5);

/// Tells on standard error how far it is.
pub struct Show {
    terminal: bool,
    phase: Option<Started>,
    told: Option<Instant>,
}

/// A phase, when it began and with how many bytes done before (by an interrupted copy).
struct Started {
    phase: Phase,
    at: Instant,
    bytes: u64,
}

impl Show {
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), phase: None, told: None }
    }

    /// Say how far it is, unless that was said a moment ago.
    pub fn tell(&mut self, progress: &Progress) {
        let now = now();
        if self.phase.as_ref().is_none_or(|started| started.phase != progress.phase) {
            self.end();
            let started = Started { phase: progress.phase, at: now, bytes: progress.bytes };
            self.phase = Some(started);
            self.told = None;
        }
        let every = if self.terminal { EVERY_ON_TERMINAL } else { EVERY_IN_LOG };
        let is_end = progress.total.is_some_and(|(rows, _)| progress.rows >= rows);
        if !is_end && self.told.is_some_and(|told| now.duration_since(told) < every) {
            return;
        }
        self.told = Some(now);
        let Some(started) = &self.phase else { return };
        let text = line(progress, now.duration_since(started.at), started.bytes);
        if self.terminal {
            eprint!("\r\x1b[K{text}");
            // A line that cannot be shown is no reason to stop.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{text}");
        }
    }

    /// Leave the line that is written over.
    pub fn end(&mut self) {
        if self.terminal && self.told.is_some() {
            eprintln!();
        }
        self.told = None;
    }
}

#[expect(clippy::disallowed_methods, reason = "a measured duration")]
fn now() -> Instant {
    Instant::now()
}

/// `copying  evt    12000 of 90000 rows   11.5 of 88.0 MB   23.1 MB/s   3 s left`
fn line(progress: &Progress, elapsed: Duration, bytes_before: u64) -> String {
    let phase = match progress.phase {
        Phase::Counting => "counting",
        Phase::Copying => "copying",
        Phase::Checking => "checking",
    };
    let rate =
        progress.bytes.saturating_sub(bytes_before) as f64 / elapsed.as_secs_f64().max(0.001);
    let (table, rows, done) = (progress.table.name(), progress.rows, mb(progress.bytes as f64));
    let mut text = format!("{phase:<9}{table:<6}");
    match progress.total {
        None => write!(text, "{rows} rows  {done:.1} MB  {:.1} MB/s", mb(rate)),
        Some((all, bytes)) => {
            let left = bytes.saturating_sub(progress.bytes) as f64 / rate.max(1.0);
            let (all_mb, rate) = (mb(bytes as f64), mb(rate));
            write!(text, "{rows} of {all} rows  {done:.1} of {all_mb:.1} MB  {rate:.1} MB/s  {left:.0} s left")
        }
    }
    .expect("writing to a string");
    text
}

fn mb(bytes: f64) -> f64 {
    bytes / 1e6
}

/// Rows, bytes and checksum of every table on both sides.
pub fn table(from: &Sums, to: &Sums) -> String {
    let mut text = format!(
        "{:<6}{:>12}{:>16}  {:<18}{:>12}  {:<18}\n",
        "table", "rows", "bytes", "SHA-256", "rows there", "SHA-256 there"
    );
    for ((table, here), (_, there)) in from.tables().zip(to.tables()) {
        let mark = if here == there { "" } else { "  DIFFERENT" };
        writeln!(
            text,
            "{:<6}{:>12}{:>16}  {:<18}{:>12}  {:<16}{mark}",
            table.name(),
            here.rows,
            here.bytes,
            hex::encode(&here.sha256[..8]),
            there.rows,
            hex::encode(&there.sha256[..8]),
        )
        .expect("writing to a string");
    }
    let ((rows, bytes), (there, _)) = (from.total(), to.total());
    writeln!(text, "{:<6}{rows:>12}{bytes:>16}  {:<18}{there:>12}", "all", "")
        .expect("writing to a string");
    text
}

#[cfg(test)]
mod tests {
    use blaupause_store::Table;

    use super::*;

    fn progress(total: Option<(u64, u64)>) -> Progress {
        Progress { phase: Phase::Copying, table: Table::Evt, rows: 10, bytes: 5_000_000, total }
    }

    #[test]
    fn the_rest_is_estimated_from_what_this_run_did() {
        let text = line(&progress(Some((40, 15_000_000))), Duration::from_secs(2), 1_000_000);
        assert_eq!(text, "copying  evt   10 of 40 rows  5.0 of 15.0 MB  2.0 MB/s  5 s left");
        let text = line(&progress(None), Duration::from_secs(1), 0);
        assert_eq!(text, "copying  evt   10 rows  5.0 MB  5.0 MB/s");
    }

    #[test]
    fn the_table_marks_what_differs() {
        let (from, mut to) = (Sums::default(), Sums::default());
        assert!(!table(&from, &to).contains("DIFFERENT"));
        to.0[3].rows = 1;
        let text = table(&from, &to);
        let marked: Vec<&str> = text.lines().filter(|line| line.contains("DIFFERENT")).collect();
        assert_eq!(marked.len(), 1, "{text}");
        assert!(marked[0].starts_with("state"), "{text}");
    }
}
