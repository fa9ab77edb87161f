//! Whole servers that speak with each other.

mod closed;
mod edus;
mod faster_joins;
mod hostile;
mod media;
mod membership;
pub mod network;
pub mod peer;
mod policy_server;
mod rules;
mod trust;
pub mod world;
