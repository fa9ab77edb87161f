//! What is measured.

pub mod first_sync;
pub mod idle;
pub mod messages;
pub mod pushes;
pub mod register;
