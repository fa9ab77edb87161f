//! What developers and CI run, as one command: `cargo xtask help`.
//!
//! Needs nothing but the Rust toolchain: what a build lacks, it installs or names. It knows nothing
//! of the server's insides; it starts other programs and says what they are doing.

mod agencies;
mod authority;
mod ci;
mod demo;
mod deny;
mod dirs;
mod house;
mod image;
mod interop;
mod javascript;
mod pins;
mod postgres;
mod progress;
mod rocksdb;
mod steps;
mod system;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{dirs::Dirs, steps::Outcome, tools::Tools};

const HELP: &str = "\
cargo xtask COMMAND

  demo [--agencies N] [--port N] [--data DIR] [--release]
        Build the server, start it with two users on the embedded database, and run until Ctrl-C.
        The second start finds the same data. Default: port 8008, folder ./data. --agencies 3
        starts three servers that are linked with each other, and people in a shared room.
  test [--quick] [STEP ...]
        Everything that CI runs. --quick leaves out the client libraries. With step names only
        those steps; `cargo xtask steps` lists them. `ci` is the same command.
  build
        The program for operators (release), and where it lies.
  image [--debug] [--test-network] [--tag NAME]
        A container image of the program (release), from files of this machine: docker/README.md.
        --files DIR collects those files and makes no image.
  agencies [DIR]
        Certificates and configurations for docker/agencies.yaml. Default: docker/agencies.
  failover
        Three PostgreSQL nodes under Patroni; the primary is killed under load. About a minute.
  bench [ARG ...]
        The benchmark, in a release build. --engine postgres measures that engine, on a private
        cluster of its own.
  api-docs
        Write docs/reference/api.md anew, from the routes in the code.
  prepare
        Install what a build lacks and build RocksDB's library, once per version.
  env
        Print what makes a plain `cargo build` use that library:  eval \"$(cargo xtask env)\"
  help
        This text.

Folders
  ~/.cache/blaupause-rocksdb    RocksDB's library per version; may be deleted, costs 12 minutes
  ~/.cache/blaupause-failover   etcd and Patroni, unpacked; may be deleted, costs 10 MB
  ~/.cache/blaupause-tools      cargo-deny, where the machine has none
  ~/.cache/blaupause-target     if it exists, the build goes there instead of ./target
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some((command, rest)) = arguments.split_first() else {
        print!("{HELP}");
        return Ok(ExitCode::FAILURE);
    };
    let dirs = Dirs::find()?;
    match command.as_str() {
        "demo" => demo::run(&dirs, &demo::Wanted::parse(rest)?)?,
        "test" | "ci" => return ci::run(&dirs, &ci::Wanted::parse(rest)?),
        "steps" => print!("{}", ci::list()),
        "build" => {
            let tools = Tools::prepare(&dirs)?;
            let mut cargo = tools.cargo();
            cargo.args(["build", "--release", "--locked", "--bin", "blaupause"]);
            progress::run(&mut cargo, "building the server")?;
            println!("\nbuilt: {}", dirs.server(true).display());
        }
        "image" => image::run(&dirs, &image::Wanted::parse(rest)?)?,
        "agencies" => agencies::run(&dirs, rest)?,
        "bench" => {
            let tools = Tools::prepare(&dirs)?;
            let mut cargo = tools.cargo();
            if rest.iter().any(|word| word.ends_with("postgres")) {
                postgres::ensure_programs()?;
            }
            // It looks for the server beside itself.
            cargo.args(["build", "--release", "--locked", "--bin", "blaupause"]);
            progress::run(&mut cargo, "building the server")?;
            let mut cargo = tools.cargo();
            cargo.args(["run", "--release", "--package", "blaupause-bench", "--"]).args(rest);
            progress::run(&mut cargo, "the benchmark")?;
        }
        "failover" => {
            let tools = Tools::prepare(&dirs)?;
            if let Outcome::Skipped(why) = ci::failover(&dirs, &tools)? {
                bail!("{why}");
            }
        }
        "api-docs" => {
            let tools = Tools::prepare(&dirs)?;
            let mut cargo = tools.cargo();
            cargo.args(["test", "--package", "blaupause-api", "--test", "it", "api_docs"]);
            cargo.env("BLAUPAUSE_WRITE_DOCS", "1");
            progress::run(&mut cargo, "writing the list of what is served")?;
            println!("\nwritten: docs/reference/api.md");
        }
        "prepare" => {
            Tools::prepare(&dirs)?;
            println!("ready: cargo xtask demo, cargo xtask test");
        }
        "env" => print!("{}", Tools::without_preparing(&dirs).exports()),
        "help" | "--help" | "-h" => print!("{HELP}"),
        other => bail!("there is no command {other:?}; see: cargo xtask help"),
    }
    Ok(ExitCode::SUCCESS)
}
