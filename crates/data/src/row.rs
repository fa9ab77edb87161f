//! Typed rows: what a table's bytes mean.

use std::ops::Deref;

use blaupause_store::{StreamPos, Table};
use serde::{Serialize, de::DeserializeOwned};

use crate::{DataError, codec::KeyFields};

/// What stands in front of a row's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Nothing.
    Plain,
    /// A version number (8 bytes), which [`crate::Write::require_version`] compares.
    Versioned,
    /// The position of the batch that wrote the row (8 bytes).
    Stamped,
    /// Both, version first.
    VersionedStamped,
}

/// A kind of row. Declare with [`row!`](crate::row) and list its tag in [`crate::rows`].
pub trait Row: 'static {
    /// Where rows of this kind lie.
    const TABLE: Table;
    /// Distinguishes kinds within a table; see [`crate::rows`].
    const TAG: u8;
    /// What stands in front of the value.
    const PREFIX: Prefix;
    /// Format number of the value, the byte in front of it.
    const FORMAT: u8 = 1;
    /// The fields behind partition and tag.
    type Key: KeyFields;
    /// What the row says.
    type Value: Serialize + DeserializeOwned;

    /// Decode a value that an older release wrote.
    fn upgrade(_format: u8, _bytes: &[u8]) -> Option<Self::Value> {
        None
    }
}

/// Declare a row kind: `row! { /// doc  pub Name: Table b'x' Plain, KeyType => ValueType }`.
#[macro_export]
macro_rules! row {
    ($(#[$meta:meta])* $vis:vis $name:ident: $table:ident $tag:literal $prefix:ident, $key:ty => $value:ty) => {
        $(#[$meta])*
        #[derive(Debug)]
        $vis enum $name {}
        impl $crate::Row for $name {
            const TABLE: $crate::Table = $crate::Table::$table;
            const TAG: u8 = $tag;
            const PREFIX: $crate::Prefix = $crate::Prefix::$prefix;
            type Key = $key;
            type Value = $value;
        }
    };
}

/// A row that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<V> {
    /// The version in front of the value; 0 if the kind has none.
    pub version: u64,
    /// The position at which the row was written; 0 if the kind is not stamped.
    pub pos: StreamPos,
    /// The value.
    pub value: V,
}

impl<V> Deref for Found<V> {
    type Target = V;
    fn deref(&self) -> &V {
        &self.value
    }
}

/// The bytes of a value and where its position has to be stamped.
pub(crate) fn encode<R: Row>(version: u64, value: &R::Value) -> (Vec<u8>, Option<u16>) {
    let mut bytes = Vec::with_capacity(64);
    let stamp_at = match R::PREFIX {
        Prefix::Plain => None,
        Prefix::Versioned => {
            bytes.extend_from_slice(&version.to_be_bytes());
            None
        }
        Prefix::Stamped => {
            bytes.extend_from_slice(&[0; 8]);
            Some(0)
        }
        Prefix::VersionedStamped => {
            bytes.extend_from_slice(&version.to_be_bytes());
            bytes.extend_from_slice(&[0; 8]);
            Some(8)
        }
    };
    bytes.push(R::FORMAT);
    let bytes = postcard::to_extend(value, bytes).expect("row values have plain data only");
    (bytes, stamp_at)
}

pub(crate) fn decode<R: Row>(bytes: &[u8]) -> Result<Found<R::Value>, DataError> {
    let damaged = || DataError::Damaged(crate::codec::describe(R::TABLE, R::TAG));
    let mut rest = bytes;
    let mut number = || -> Result<u64, DataError> {
        let (head, tail) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        rest = tail;
        Ok(u64::from_be_bytes(*head))
    };
    let (version, pos) = match R::PREFIX {
        Prefix::Plain => (0, 0),
        Prefix::Versioned => (number()?, 0),
        Prefix::Stamped => (0, number()?),
        Prefix::VersionedStamped => (number()?, number()?),
    };
    let (&format, body) = rest.split_first().ok_or_else(damaged)?;
    let value = if format == R::FORMAT {
        postcard::from_bytes(body).map_err(|_| damaged())?
    } else {
        R::upgrade(format, body).ok_or_else(damaged)?
    };
    Ok(Found { version, pos: StreamPos(pos), value })
}
