//! The API over a whole server in memory, without a network: requests go into the router.

mod account;
mod browser;
mod budgets;
mod cases;
mod config;
mod edge;
mod hostile;
mod limits;
mod oauth;
mod old_tokens;
mod operator;
mod pages;
mod profile;
mod reading;
mod rooms;
mod server;
mod session;
mod sliding;
mod suspended;
mod threads;
mod uia;
