//! House rules: who may do what on this server, with a reason for each refusal. Pure.
//!
//! Nothing is here yet. The one place that will ask is `Appending::push` in `rooms`
//! (`crates/rooms/src/append.rs`), through which every local event goes.
