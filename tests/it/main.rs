//! The real program, started as an operator starts it.

mod authz;
mod calls;
mod cases;
mod config;
mod copy;
mod expect;
mod failover;
mod federation;
mod fixture;
mod hostile;
mod http;
mod paths;
mod people;
mod place;
mod placeholders;
mod program;
mod restart;
mod serve;
mod server;
mod slow;
mod tls;
mod user;
