//! A list of named steps, run one after the other, with a table at the end.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::progress::human;

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed(String),
    /// Why it did not run. Never silent: the table says it.
    Skipped(String),
}

/// The steps that ran so far.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<(&'static str, Duration, Outcome)>,
}

impl Report {
    /// Run one step. A failure is noted and does not stop the others.
    pub fn step(
        &mut self,
        name: &'static str,
        title: &str,
        run: impl FnOnce() -> Result<Outcome>,
    ) -> &Outcome {
        println!("\n=== {name}: {title}");
        let started = Instant::now();
        let outcome = run().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        let time = started.elapsed();
        match &outcome {
            Outcome::Passed => println!("=== {name}: passed in {}", human(time)),
            Outcome::Failed(why) => println!("=== {name}: FAILED after {}: {why}", human(time)),
            Outcome::Skipped(why) => println!("=== {name}: skipped: {why}"),
        }
        self.rows.push((name, time, outcome));
        &self.rows.last().expect("just pushed").2
    }

    /// Note a step that cannot run because of what happened before.
    pub fn skip(&mut self, name: &'static str, why: &str) {
        println!("\n=== {name}: skipped: {why}");
        self.rows.push((name, Duration::ZERO, Outcome::Skipped(why.to_owned())));
    }

    /// Whether any step failed.
    pub fn has_failed(&self) -> bool {
        self.rows.iter().any(|(_, _, outcome)| matches!(outcome, Outcome::Failed(_)))
    }

    /// The table, and a last line that counts.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let total: Duration = self.rows.iter().map(|(_, time, _)| *time).sum();
        for (name, time, outcome) in &self.rows {
            let (word, why) = match outcome {
                Outcome::Passed => ("passed", ""),
                Outcome::Failed(why) => ("FAILED", why.lines().next().unwrap_or_default()),
                Outcome::Skipped(why) => ("skipped", why.as_str()),
            };
            let line = format!("  {name:<14}{word:<9}{:>8}  {why}", human(*time));
            writeln!(text, "{}", line.trim_end()).expect("writing to a string");
        }
        let count =
            |wanted: fn(&Outcome) -> bool| self.rows.iter().filter(|row| wanted(&row.2)).count();
        write!(
            text,
            "  in {}\nsteps: {} passed, {} failed, {} skipped\n",
            human(total),
            count(|outcome| *outcome == Outcome::Passed),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        )
        .expect("writing to a string");
        text
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_summary_names_every_step_and_counts() {
        let mut report = Report::default();
        report.step("one", "a", || Ok(Outcome::Passed));
        assert!(!report.has_failed());
        report.step("two", "b", || Err(anyhow!("no disk").context("writing")));
        report.skip("three", "not there");
        assert!(report.has_failed());
        let text = report.summary();
        assert!(text.contains("one") && text.contains("writing: no disk"), "{text}");
        assert!(text.ends_with("\nsteps: 1 passed, 1 failed, 1 skipped\n"), "{text}");
    }
}
