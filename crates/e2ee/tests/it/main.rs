//! Keys and to-device messages on the in-memory store, with real Olm accounts as devices.

mod backup;
mod keys;
mod people;
mod to_device;
