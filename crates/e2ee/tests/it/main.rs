//! Keys and to-device messages on the in-memory store, with real Olm accounts as devices.

mod backup;
mod budgets;
mod keys;
mod people;
mod signing;
mod stored;
mod to_device;
