//! Whole servers that speak with each other.

mod edus;
mod membership;
pub mod network;
mod trust;
