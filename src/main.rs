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
mod lifecycle;
mod listen;
mod metrics;
mod password;
mod telemetry;
mod tls;
mod user;
mod wiring;

/// The memory allocator: this line is the choice, to be changed only with a measurement.
#[global_allocator]
static ALLOCATOR: std::alloc::System = std::alloc::System;

fn main() -> std::process::ExitCode {
    cli::run()
}
