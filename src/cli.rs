//! The command line.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use ruma::OwnedServerName;

use crate::{
    config::{self, Loaded},
    copy, generate, health, key, lifecycle, telemetry, user,
};

/// A Matrix homeserver for the public sector.
#[derive(Debug, Parser)]
#[command(name = "blaupause", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until SIGTERM or SIGINT.
    Serve(Serve),
    /// Say what is wrong with a configuration file, without starting.
    CheckConfig {
        /// The file to check.
        file: PathBuf,
    },
    /// Ask the running server whether it is ready, and end with 0 or 1. For health checks.
    Health {
        /// The file that the server runs with.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Print a configuration file that starts as it is.
    GenerateConfig(GenerateConfig),
    /// Work on accounts.
    #[command(subcommand)]
    User(UserCommand),
    /// Work on the database.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Work on the key that this server signs events and requests with.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print the version.
    Version,
}

#[derive(Debug, Args)]
struct Serve {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Write the addresses in use (JSON) to this file once the server answers. With port 0 in the
    /// configuration this is how to learn the port.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// If the database's log is damaged, give up every write from the damage on, though it was
    /// acknowledged. For one start, after such a message and only without a backup.
    #[arg(long)]
    cut_damaged_log: bool,
}

/// What a new configuration needs to know.
#[derive(Debug, Args)]
pub struct GenerateConfig {
    /// The part after the colon of user ids. It can never be changed later.
    #[arg(long, value_name = "NAME")]
    pub server_name: OwnedServerName,
    /// Where the database and the media lie.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Where plain HTTP is served, such as 127.0.0.1:8008.
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an account and print its password, unless that was given.
    Create(UserCreate),
}

/// The account to make.
#[derive(Debug, Args)]
pub struct UserCreate {
    /// The part before the colon: `alice` for @alice:example.org.
    pub name: String,
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Make the account a server administrator.
    #[arg(long)]
    pub admin: bool,
    /// The file whose first line is the password. Without it a password is made and printed.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Move a site to another engine: copy everything, then compare both sides.
    ///
    /// The server must be stopped. If the copy is interrupted, the same command goes on where it
    /// was; until it has ended, no server starts on the target.
    Copy(StoreCopy),
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Replace the key, because it may be known to others. The server must be stopped.
    ///
    /// The old one stays published with its end, so that what was signed until now can be checked.
    /// Other servers may take it for another day.
    Rotate {
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// From where to where.
#[derive(Debug, Args)]
pub struct StoreCopy {
    /// The configuration the site had until now; its [storage] is read and not changed.
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// The configuration the site will have; its [storage] must be empty.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// Run the command the process was started with.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(serve) => run_server(&serve),
        Command::CheckConfig { file } => config::load(&file).map_err(Into::into).map(|loaded| {
            print_warnings(&loaded);
            println!("{}: OK", file.display());
        }),
        Command::Health { config } => health::ask(&config),
        Command::GenerateConfig(wanted) => generate::config(&wanted).map(|text| print!("{text}")),
        Command::User(UserCommand::Create(wanted)) => user::create(&wanted),
        Command::Store(StoreCommand::Copy(wanted)) => copy::run(&wanted),
        Command::Key(KeyCommand::Rotate { config }) => key::rotate(&config),
        Command::Version => {
            println!("blaupause {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_server(serve: &Serve) -> anyhow::Result<()> {
    let loaded = config::load(&serve.config)?;
    telemetry::start(&loaded.config.log)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    lifecycle::run(&serve.config, &loaded, serve.ready_file.as_deref(), serve.cut_damaged_log)
}

/// To standard error, so that the output of a command stays clean.
pub fn print_warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_documented_commands_parse() {
        for line in [
            "blaupause serve --config a.toml",
            "blaupause serve --config a.toml --ready-file ready.json",
            "blaupause serve --config a.toml --cut-damaged-log",
            "blaupause check-config a.toml",
            "blaupause health --config a.toml",
            "blaupause generate-config --server-name example.org --data-dir /tmp/d --listen 127.0.0.1:8008",
            "blaupause user create alice --config a.toml",
            "blaupause user create alice --config a.toml --admin --password-file p",
            "blaupause store copy --from a.toml --to b.toml",
            "blaupause version",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        for line in [
            "blaupause",
            "blaupause serve",
            "blaupause check-config",
            "blaupause health",
            "blaupause generate-config --server-name a_b! --data-dir d --listen 127.0.0.1:1",
            "blaupause generate-config --server-name a --data-dir d --listen nowhere",
            "blaupause user create --config a.toml",
            "blaupause store copy --from a.toml",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
