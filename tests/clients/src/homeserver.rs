//! What a client has to know of a server.

/// A server that people have accounts on.
pub trait Homeserver {
    /// Where clients reach it.
    fn url(&self) -> String;

    /// The part after the colon of its users' ids.
    fn name(&self) -> &str;
}
