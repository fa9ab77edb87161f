//! Tests of the pure room mathematics: properties where the world permutes, tables where the
//! specification has one.

mod auth;
mod cases;
mod deliver;
mod events;
mod large;
mod merge;
mod naive;
mod old_versions;
mod tree;
mod world;
