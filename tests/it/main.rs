//! The real program, started as an operator starts it.

mod config;
mod program;
mod serve;
mod tls;
