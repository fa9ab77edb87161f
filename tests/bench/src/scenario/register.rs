//! Registration: what a password hash costs, mostly.

use anyhow::Result;

use crate::{
    Wanted,
    numbers::rounded,
    people,
    report::{Line, Span, line},
    target::Target,
};

/// Our own server hashes as its default configuration says.
const HASH: &str = "Argon2id, 64 MiB, 3 passes (the default)";

pub async fn run(wanted: &Wanted, target: &Target) -> Result<Vec<Line>> {
    const NAME: &str = "register";
    let span = Span::start(target)?;
    people::register(&target.url, wanted.users).await?;
    let spent = span.end(target)?;
    let per_second = rounded(wanted.users as f64 / spent.time.as_secs_f64());
    let hash = if target.is_own() { HASH } else { "password hash as the server is configured" };
    let what = format!("{} users, 8 at once", wanted.users);
    let mut lines = vec![line(NAME, &what, per_second, "/s").note(spent.limit())];
    if let Some(cpu) = spent.cpu_per(wanted.users, 1.0) {
        lines.push(line(NAME, "CPU per registration", cpu, "s").note(hash));
    }
    Ok(lines)
}
