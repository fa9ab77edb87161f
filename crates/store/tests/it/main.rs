//! The engines against the conformance suite, against each other, and against sudden death.

mod conformance;
mod crash;
mod measure;
mod properties;
mod rocks;
