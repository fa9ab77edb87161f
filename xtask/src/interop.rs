//! Blaupause beside Synapse: `tests/interop`, with Synapse installed from PyPI into a virtual
//! environment of its own.

use std::{fs, iter, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{ci, dirs::Dirs, progress, steps::Outcome, system, tools::Tools};

/// The Synapse that we are compared with.
const SYNAPSE_VERSION: &str = "1.163.2";

/// Where rooms are made, and where people come from.
const WITHOUT_SYNAPSE: [&str; 1] = ["blaupause-blaupause"];
const WITH_SYNAPSE: [&str; 2] = ["blaupause-synapse", "synapse-blaupause"];

/// Run `tests/interop`.
///
/// # Errors
/// If Python or openssl cannot be had, or a scenario fails.
pub fn run(dirs: &Dirs, tools: &Tools) -> Result<Outcome> {
    ensure_programs()?;
    let mut test = Command::new("python3");
    if let Some(clients) = ci::clients_test(dirs, tools)? {
        give(&mut test, &clients);
    }
    test.arg(dirs.root.join("tests/interop/run.py"))
        .args(WITHOUT_SYNAPSE)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("BLAUPAUSE_BIN", dirs.server(false));
    match synapse(dirs)? {
        Some(home) => drop(test.args(WITH_SYNAPSE).env("SYNAPSE_VENV", home)),
        None => println!("Synapse cannot be installed here: only Blaupause beside Blaupause"),
    }
    progress::run_tests(&mut test, "the scenarios of tests/interop")?;
    Ok(Outcome::Passed)
}

/// What runs the tests with matrix-sdk between the same servers.
fn give(test: &mut Command, clients: &Command) {
    for (name, value) in clients.get_envs() {
        match value {
            Some(value) => test.env(name, value),
            None => test.env_remove(name),
        };
    }
    let words = iter::once(clients.get_program()).chain(clients.get_args());
    let quoted: Vec<_> =
        words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"))).collect();
    test.env("CLIENTS_TEST", format!("{} --test it --", quoted.join(" ")));
}

fn ensure_programs() -> Result<()> {
    let mut absent = Vec::new();
    if progress::output_of("openssl", &["version"]).is_none() {
        absent.push("openssl");
    }
    if progress::output_of("python3", &["-c", "import ensurepip, venv"]).is_none() {
        absent.extend(["python3", "python3-venv"]);
    }
    if absent.is_empty() { Ok(()) } else { system::install(&absent) }
}

/// The virtual environment with Synapse; `None` where PyPI cannot be reached.
fn synapse(dirs: &Dirs) -> Result<Option<PathBuf>> {
    let home = dirs.cache.join("blaupause-synapse").join(SYNAPSE_VERSION);
    if is_installed(&home) {
        return Ok(Some(home));
    }
    let parent = home.parent().context("the cache has a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&home);
    progress::run(&mut venv, "making a virtual environment")?;
    let mut pip = Command::new(home.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    pip.arg(format!("matrix-synapse=={SYNAPSE_VERSION}"));
    if let Err(error) = progress::run(&mut pip, "pip install of Synapse") {
        println!("{error:#}");
    }
    Ok(is_installed(&home).then_some(home))
}

fn is_installed(home: &std::path::Path) -> bool {
    let python = home.join("bin/python");
    progress::output_of(&python.to_string_lossy(), &["-c", "import synapse.app.homeserver"])
        .is_some()
}
