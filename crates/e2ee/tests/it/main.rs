//! Keys and to-device messages on the in-memory store, with real Olm accounts as devices.

mod backup;
mod budgets;
mod keys;
mod peer;
mod people;
mod remote;
mod signing;
mod stored;
mod telling;
mod to_device;
