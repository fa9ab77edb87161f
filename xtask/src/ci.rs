//! `cargo xtask test`: everything CI runs.

use std::{
    fmt::Write as _,
    process::{Command, ExitCode},
};

use anyhow::{Result, bail};

use crate::{
    deny,
    dirs::Dirs,
    house, image, interop, javascript, postgres, progress,
    steps::{Outcome, Report},
    tools::{self, Tools},
};

/// Name, title, and whether it belongs to the heavy end (`--quick` leaves it out, and so does a
/// failure before it).
struct Step {
    name: &'static str,
    title: &'static str,
    heavy: bool,
    run: fn(&Dirs, &Tools) -> Result<Outcome>,
}

const STEPS: &[Step] = &[
    Step { name: "format", title: "rustfmt", heavy: false, run: format },
    Step { name: "house", title: "house rules", heavy: false, run: |dirs, _| house_rules(dirs) },
    Step { name: "licenses", title: "cargo-deny", heavy: false, run: deny::run },
    Step { name: "clippy", title: "clippy, all targets", heavy: false, run: |_, t| clippy(t) },
    Step { name: "unit", title: "cargo test --workspace", heavy: false, run: |_, t| workspace(t) },
    Step {
        name: "it-postgres",
        title: "tests/it on PostgreSQL",
        heavy: false,
        run: |_, tools| it_on_postgres(tools),
    },
    Step {
        name: "failover",
        title: "three PostgreSQL nodes, the primary is killed",
        heavy: true,
        run: failover,
    },
    Step { name: "server", title: "the server's binary", heavy: true, run: |_, t| server(t) },
    Step { name: "docker", title: "the images are built and started", heavy: true, run: docker },
    Step { name: "matrix-sdk", title: "the library under Element X", heavy: true, run: matrix_sdk },
    Step {
        name: "matrix-js-sdk",
        title: "the library under Element Web",
        heavy: true,
        run: |dirs, _| javascript::run(dirs),
    },
    Step {
        name: "interop",
        title: "two servers, one of them Synapse",
        heavy: true,
        run: interop::run,
    },
];

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    quick: bool,
    /// Empty: all.
    steps: Vec<String>,
}

impl Wanted {
    /// # Errors
    /// If a word is neither an option nor a step.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut wanted = Self::default();
        for argument in arguments {
            if argument == "--quick" {
                wanted.quick = true;
            } else if STEPS.iter().any(|step| step.name == argument) {
                wanted.steps.push(argument.clone());
            } else {
                bail!("there is no step {argument:?}; the steps are:\n{}", list());
            }
        }
        Ok(wanted)
    }

    fn asks_for(&self, step: &Step) -> bool {
        if self.steps.is_empty() {
            !(self.quick && step.heavy)
        } else {
            self.steps.iter().any(|name| name == step.name)
        }
    }
}

/// The steps, one per line.
pub fn list() -> String {
    let mut text = String::new();
    for step in STEPS {
        let heavy = if step.heavy { " (heavy)" } else { "" };
        writeln!(text, "  {:<14}{}{heavy}", step.name, step.title).expect("writing to a string");
    }
    text
}

/// Run the steps.
///
/// # Errors
/// Never for a failing step: that is in the table and in the exit code.
pub fn run(dirs: &Dirs, wanted: &Wanted) -> Result<ExitCode> {
    let mut report = Report::default();
    let mut tools = None;
    report.step("prepare", "toolchain, libclang, compiler, RocksDB's library", || {
        tools = Some(Tools::prepare(dirs)?);
        Ok(Outcome::Passed)
    });
    for step in STEPS.iter().filter(|step| wanted.asks_for(step)) {
        match &tools {
            None => report.skip(step.name, "prepare failed"),
            // Half an hour of building is no use to somebody whose unit tests fail.
            Some(_) if step.heavy && wanted.steps.is_empty() && report.has_failed() => {
                report.skip(step.name, "a step before it failed");
            }
            Some(tools) => {
                report.step(step.name, step.title, || (step.run)(dirs, tools));
            }
        }
    }
    println!("\n=== summary\n{}", report.summary());
    Ok(if report.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn format(dirs: &Dirs, tools: &Tools) -> Result<Outcome> {
    need_component("fmt", "rustfmt")?;
    progress::run(tools.cargo().args(["fmt", "--all", "--check"]), "rustfmt")?;
    let clients = dirs.root.join("tests/clients/Cargo.toml");
    if clients.is_file() {
        let mut cargo = tools.cargo();
        cargo.args(["fmt", "--check", "--manifest-path"]).arg(clients);
        progress::run(&mut cargo, "rustfmt of tests/clients")?;
    }
    Ok(Outcome::Passed)
}

fn house_rules(dirs: &Dirs) -> Result<Outcome> {
    let broken = house::check(&dirs.root)?;
    for line in &broken {
        println!("{line}");
    }
    if broken.is_empty() {
        return Ok(Outcome::Passed);
    }
    Ok(Outcome::Failed(format!("{} breaches of the house rules, listed above", broken.len())))
}

fn clippy(tools: &Tools) -> Result<Outcome> {
    need_component("clippy", "clippy")?;
    let mut cargo = tools.cargo();
    cargo.args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
    progress::run(&mut cargo, "clippy")?;
    Ok(Outcome::Passed)
}

fn workspace(tools: &Tools) -> Result<Outcome> {
    if !postgres::is_left_out() {
        postgres::ensure_programs()?;
    }
    let mut build = tools.cargo();
    build.args(["test", "--workspace", "--locked", "--no-run"]);
    progress::run(&mut build, "building the workspace's tests")?;
    let mut cargo = tools.cargo();
    cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    progress::run_tests(&mut cargo, "the workspace's tests")?;
    Ok(Outcome::Passed)
}

/// The other engine: the same tests of the whole server that `unit` ran on RocksDB.
fn it_on_postgres(tools: &Tools) -> Result<Outcome> {
    if postgres::is_left_out() {
        return Ok(Outcome::Skipped("BLAUPAUSE_TEST_POSTGRES=skip".to_owned()));
    }
    postgres::ensure_programs()?;
    let mut test = tools.server_test()?;
    test.env("BLAUPAUSE_TEST_ENGINE", "postgres");
    progress::run_tests(&mut test, "tests/it on PostgreSQL")?;
    Ok(Outcome::Passed)
}

/// `cargo xtask failover`: prints the gap in seconds, and what was acknowledged and lost.
///
/// # Errors
/// If something was lost, or the cluster cannot be started.
pub fn failover(dirs: &Dirs, tools: &Tools) -> Result<Outcome> {
    if postgres::is_left_out() {
        return Ok(Outcome::Skipped("BLAUPAUSE_TEST_POSTGRES=skip".to_owned()));
    }
    postgres::ensure_programs()?;
    let folder = match postgres::failover_tools(dirs)? {
        Ok(folder) => folder,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    let mut test = tools.server_test()?;
    test.args(["--ignored", "--nocapture", "failover"]).env(postgres::TOOLS_FOLDER, &folder);
    progress::run_tests(&mut test, "the failover")?;
    Ok(Outcome::Passed)
}

fn server(tools: &Tools) -> Result<Outcome> {
    progress::run(
        tools.cargo().args(["test", "--workspace", "--no-run", "--locked"]),
        "the server",
    )?;
    Ok(Outcome::Passed)
}

/// With the binary of the step before.
fn docker(dirs: &Dirs, tools: &Tools) -> Result<Outcome> {
    let version = match image::engine() {
        Ok(version) => version,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    println!("Docker engine {version}");
    server(tools)?;
    image::try_out(dirs)?;
    Ok(Outcome::Passed)
}

fn matrix_sdk(dirs: &Dirs, tools: &Tools) -> Result<Outcome> {
    let Some(mut test) = clients_test(dirs, tools)? else {
        return Ok(Outcome::Skipped("this checkout has no tests/clients".to_owned()));
    };
    progress::run_tests(test.arg("--no-fail-fast"), "the test with matrix-sdk")?;
    Ok(Outcome::Passed)
}

/// The command that runs the test with matrix-sdk, built; `None` if there is none.
pub fn clients_test(dirs: &Dirs, tools: &Tools) -> Result<Option<Command>> {
    let manifest = dirs.root.join("tests/clients/Cargo.toml");
    if !manifest.is_file() {
        return Ok(None);
    }
    let cargo_test = || {
        let mut cargo = tools.cargo();
        cargo
            .args(["test", "--locked", "--manifest-path"])
            .arg(&manifest)
            .env("CARGO_TARGET_DIR", &dirs.clients_target)
            .env("BLAUPAUSE_BIN", dirs.server(false));
        cargo
    };
    progress::run(cargo_test().arg("--no-run"), "building the test with matrix-sdk")?;
    Ok(Some(cargo_test()))
}

/// rustup's minimal profile comes without them.
fn need_component(subcommand: &str, component: &str) -> Result<()> {
    if progress::output_of("cargo", &[subcommand, "--version"]).is_some() {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    tools::forget_this_package(&mut rustup);
    let added = progress::run(rustup.args(["component", "add", component]), "rustup");
    added.map_err(|error| {
        error
            .context(format!("this toolchain has no {component}: rustup component add {component}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(words: &[&str]) -> Result<Wanted> {
        Wanted::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    fn names(wanted: &Wanted) -> Vec<&'static str> {
        STEPS.iter().filter(|step| wanted.asks_for(step)).map(|step| step.name).collect()
    }

    #[test]
    fn everything_runs_unless_asked_otherwise() {
        assert_eq!(names(&wanted(&[]).unwrap()).len(), STEPS.len());
    }

    #[test]
    fn quick_leaves_out_the_heavy_end() {
        let quick = names(&wanted(&["--quick"]).unwrap());
        assert!(quick.contains(&"unit") && !quick.contains(&"matrix-sdk"), "{quick:?}");
    }

    #[test]
    fn named_steps_run_alone() {
        assert_eq!(names(&wanted(&["house", "format"]).unwrap()), ["format", "house"]);
    }

    #[test]
    fn an_unknown_step_is_refused_with_the_list() {
        let error = wanted(&["--fast"]).unwrap_err().to_string();
        assert!(error.contains("--fast") && error.contains("clippy"), "{error}");
    }
}
