//! What this crate stores besides account data.

use blaupause_data::row;

row! {
    /// Pushers of a user: app id, push key to the pusher as JSON.
    pub PusherRow: Usr b'P' Plain, (String, String) => String
}
