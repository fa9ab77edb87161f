//! Whole servers that speak with each other.

mod closed;
mod edus;
mod hostile;
mod faster_joins;
mod media;
mod membership;
pub mod network;
pub mod peer;
mod policy_server;
mod rules;
mod trust;
pub mod world;
