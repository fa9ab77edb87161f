//! Numbers that exist only inside one room. They are 4 bytes where the Matrix id is 44, and they
//! carry an order: a room hands them out in the batch that first uses them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Room-local number of an event.
///
/// Invariant the owner of a room keeps: an event gets its number only after all of its auth events
/// have theirs, so ascending numbers are a topological order of the auth graph.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct EventNo(pub u32);

/// Room-local number of a `(type, state_key)` pair, dense, in order of first appearance.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct StateKeyNo(pub u32);

/// Room-local number of a page of the state tree. A page never changes once written.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct PageNo(pub u32);

/// One version of a room's state: where the root node of its tree lies and how high the tree is.
///
/// Equal roots are equal states. Different roots may still hold the same state (two branches may
/// have built it separately); [`crate::tree::diff`] tells. Encoded in 6 bytes: height, then the
/// pointer `page << 6 | slot` big-endian; in serde formats it is those 6 bytes, and as text in
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateRoot {
    height: u8,
    node: NodePtr,
}

/// Place of a node: a page and one of its 64 slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodePtr {
    pub(crate) page: PageNo,
    pub(crate) slot: u8,
}

/// Six levels of 64 reach every `u32` key.
pub(crate) const HEIGHT_MAX: u8 = 6;
const SLOT_BITS: u32 = 6;

impl StateRoot {
    /// The state before a room's first event: no keys at all.
    pub const EMPTY: Self = Self { height: 0, node: NodePtr { page: PageNo(0), slot: 0 } };

    pub(crate) fn new(height: u8, node: NodePtr) -> Self {
        Self { height, node }
    }

    pub(crate) fn height(self) -> u8 {
        self.height
    }

    pub(crate) fn node(self) -> NodePtr {
        self.node
    }

    /// Whether this is the state without any key.
    pub fn is_empty(self) -> bool {
        self.height == 0
    }

    /// The page that holds the root node; `None` for the empty state. What to fetch first.
    pub fn page(self) -> Option<PageNo> {
        (!self.is_empty()).then_some(self.node.page)
    }

    /// The stored form.
    pub fn to_bytes(self) -> [u8; 6] {
        let [a, b, c, d, e] = self.node.to_bytes();
        [self.height, a, b, c, d, e]
    }

    /// Reads the stored form; `None` if it is none.
    pub fn from_bytes(bytes: [u8; 6]) -> Option<Self> {
        let [height, node @ ..] = bytes;
        let node = NodePtr::from_bytes(node)?;
        let root = Self { height, node };
        match height {
            0 => (root == Self::EMPTY).then_some(root),
            1..=HEIGHT_MAX => Some(root),
            _ => None,
        }
    }
}

impl Default for StateRoot {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl std::fmt::Debug for StateRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateRoot({}^{}:{})", self.height, self.node.page.0, self.node.slot)
    }
}

impl NodePtr {
    pub(crate) fn to_bytes(self) -> [u8; 5] {
        let packed = u64::from(self.page.0) << SLOT_BITS | u64::from(self.slot);
        let [_, _, _, a, b, c, d, e] = packed.to_be_bytes();
        [a, b, c, d, e]
    }

    pub(crate) fn from_bytes(bytes: [u8; 5]) -> Option<Self> {
        let [a, b, c, d, e] = bytes;
        let packed = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
        let page = u32::try_from(packed >> SLOT_BITS).ok()?;
        Some(Self { page: PageNo(page), slot: (packed & 0x3f) as u8 })
    }
}

impl Serialize for StateRoot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let digits: String = self.to_bytes().iter().map(|b| format!("{b:02x}")).collect();
            serializer.serialize_str(&digits)
        } else {
            self.to_bytes().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for StateRoot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = if deserializer.is_human_readable() {
            let digits = String::deserialize(deserializer)?;
            let number = u64::from_str_radix(&digits, 16).map_err(D::Error::custom)?;
            let [0, 0, bytes @ ..] = number.to_be_bytes() else {
                return Err(D::Error::custom("a state root has 12 hexadecimal digits"));
            };
            bytes
        } else {
            <[u8; 6]>::deserialize(deserializer)?
        };
        Self::from_bytes(bytes).ok_or_else(|| D::Error::custom("no state root"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_keeps_its_six_bytes() {
        let root = StateRoot::new(3, NodePtr { page: PageNo(0x0102_0304), slot: 63 });
        assert_eq!(root.to_bytes(), [3, 0x00, 0x40, 0x80, 0xc1, 0x3f]);
        assert_eq!(StateRoot::from_bytes(root.to_bytes()), Some(root));
        let last = StateRoot::new(6, NodePtr { page: PageNo(u32::MAX), slot: 63 });
        assert_eq!(StateRoot::from_bytes(last.to_bytes()), Some(last));
        assert_eq!(StateRoot::from_bytes([0; 6]), Some(StateRoot::EMPTY));
    }

    #[test]
    fn bytes_that_are_no_root_are_refused() {
        assert_eq!(StateRoot::from_bytes([7, 0, 0, 0, 0, 0]), None);
        assert_eq!(StateRoot::from_bytes([0, 0, 0, 0, 0, 1]), None);
        assert_eq!(StateRoot::from_bytes([1, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn a_root_survives_json() {
        let root = StateRoot::new(2, NodePtr { page: PageNo(7), slot: 1 });
        let text = serde_json::to_string(&root).expect("a string");
        assert_eq!(text, "\"0200000001c1\"");
        assert_eq!(serde_json::from_str::<StateRoot>(&text).expect("same"), root);
    }
}
