//! Several servers in one process: what is said on one arrives at the other.

mod accepted;
mod bad;
mod effects;
mod forks;
mod gaps;
mod inbox;
mod large;
mod late;
mod many;
mod network;
mod partial;
mod world;
