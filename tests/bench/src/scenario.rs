//! What is measured.

pub mod first_sync;
pub mod idle;
pub mod many_rooms;
pub mod messages;
pub mod pushes;
pub mod register;
pub mod search;
