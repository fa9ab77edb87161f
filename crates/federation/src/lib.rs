//! Other servers: find, trust, sign requests, send, keep what is owed.
//!
//! Nothing is here yet: one server and its own people come first. Who needs another server gets
//! a clear refusal in the crate that was asked (`rooms`, `e2ee`, `media`), and `api` lets no
//! server in. The place in the order of crates is kept, so that nothing has to be turned around.
