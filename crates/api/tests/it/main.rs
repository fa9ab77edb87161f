//! The API over a whole server in memory, without a network: requests go into the router.

mod account;
mod cases;
mod config;
mod edge;
mod profile;
mod reading;
mod rooms;
mod server;
mod session;
mod sliding;
