//! The real program, started as an operator starts it.

mod authz;
mod cases;
mod config;
mod expect;
mod fixture;
mod hostile;
mod http;
mod paths;
mod people;
mod placeholders;
mod program;
mod restart;
mod serve;
mod server;
mod tls;
mod user;
