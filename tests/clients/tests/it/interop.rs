//! The same room on two servers, one of them perhaps Synapse, with the library on both sides.
//! `tests/interop` starts the servers and then these tests: they are ignored otherwise.

mod devices;
mod encryption;
mod restarts;
