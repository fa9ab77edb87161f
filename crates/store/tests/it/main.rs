//! The engines against the conformance suite, against each other, and against sudden death.
#![expect(clippy::disallowed_methods, reason = "tests start tasks of their own")]

mod conformance;
mod crash;
mod disk_full;
mod load;
mod measure;
mod postgres;
mod postgres_faults;
mod power_loss;
mod properties;
mod proxy;
mod rocks;
