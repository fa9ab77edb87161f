//! The `blaupause` program: reads the command line and the configuration, builds the server from
//! its parts, starts and stops it.
//!
//! What is deliberately absent: everything the server *does*. That stands in the crates, and
//! [`wiring`] is the only place that knows all of them. Start reading there, then [`lifecycle`].

mod cli;
mod client_address;
mod config;
mod copy;
mod generate;
mod health;
mod key;
mod lifecycle;
mod listen;
mod metrics;
mod password;
mod telemetry;
mod tls;
mod user;
mod wiring;

/// Serves RocksDB too. Measured against others in `docs/decisions/0019-allocator.md`; to be changed
/// only with a measurement.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
