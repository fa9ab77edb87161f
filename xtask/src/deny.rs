//! cargo-deny: licences, banned crates, sources. Installed once into the cache where it is missing.

use std::path::PathBuf;

use anyhow::Result;

use crate::{dirs::Dirs, progress, steps::Outcome, tools::Tools};

/// What is installed where no cargo-deny is found. Newer ones found on the machine do as well.
const VERSION: &str = "0.20.2";

/// Check what the workspace depends on against `deny.toml`. The advisory database is not asked: it
/// comes from outside the package registry.
///
/// # Errors
/// If a dependency breaks a rule, or cargo-deny cannot be installed.
pub fn run(dirs: &Dirs, tools: &Tools) -> Result<Outcome> {
    let program = find_or_install(dirs)?;
    let mut deny = tools.program(&program);
    deny.args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]);
    progress::run(&mut deny, "cargo-deny")?;
    Ok(Outcome::Passed)
}

fn find_or_install(dirs: &Dirs) -> Result<PathBuf> {
    if progress::output_of("cargo-deny", &["--version"]).is_some() {
        return Ok("cargo-deny".into());
    }
    let folder = dirs.cache.join("blaupause-tools");
    let program = folder.join("bin/cargo-deny");
    if !program.is_file() {
        let mut cargo = std::process::Command::new("cargo");
        cargo
            .args(["install", "cargo-deny", "--locked", "--no-default-features"])
            .args(["--version", VERSION, "--root"])
            .arg(&folder)
            // It runs for a second: building it fast counts for more than its speed.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off");
        progress::run(&mut cargo, "cargo install cargo-deny")?;
    }
    Ok(program)
}
