//! Newtypes for room-local numbers.
use serde::{Deserialize, Serialize};

/// Room-local number of an event; order is a topological order of the auth graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventNo(pub u32);
/// Room-local number of a (type, state key) pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateKeyNo(pub u32);
/// Room-local number of a page of the state trie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PageNo(pub u32);
/// Root of a state trie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateRoot(pub u64);
