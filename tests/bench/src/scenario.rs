//! What is measured.

pub mod backlog;
pub mod between;
pub mod fan_out;
pub mod first_sync;
pub mod idle;
pub mod join;
pub mod many_rooms;
pub mod messages;
pub mod pushes;
pub mod register;
pub mod search;
