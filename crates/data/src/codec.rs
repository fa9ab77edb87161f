//! Keys as typed fields. Encoded order is value order.
//!
//! Integers are big-endian. Text is escaped and terminated, so that it may stand anywhere in a key
//! and a key with fewer fields is a prefix of the longer ones.

use blaupause_graph::{EventNo, PageNo, StateKeyNo};
use blaupause_store::{Key, Part, StreamPos, Table};
use ruma::{OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId};

/// Stands for "the position this batch will get" in keys of rows that are about to be written.
pub const NOW: StreamPos = StreamPos(u64::MAX);

/// Collects the bytes of a key and where its position has to be stamped.
#[derive(Debug)]
pub struct KeyWriter {
    bytes: Vec<u8>,
    stamp_at: Option<u16>,
}

impl KeyWriter {
    pub(crate) fn new(part: Part, tag: u8) -> Self {
        Self { bytes: Key::new(part, tag).as_bytes().to_vec(), stamp_at: None }
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn finish(self) -> (Key, Option<u16>) {
        (Key::from_bytes(self.bytes), self.stamp_at)
    }
}

/// Reads back the fields behind partition and tag.
#[derive(Debug)]
pub struct KeyReader<'a>(&'a [u8]);

impl<'a> KeyReader<'a> {
    pub(crate) fn new(key: &'a Key) -> Option<Self> {
        Some(Self(key.as_bytes().get(9..)?))
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

/// One or more fields of a key.
pub trait KeyFields: Sized {
    /// Append the fields.
    fn write(&self, out: &mut KeyWriter);
    /// Read the fields back; `None` if the bytes do not have this form.
    fn read(from: &mut KeyReader<'_>) -> Option<Self>;
}

impl KeyFields for () {
    fn write(&self, _: &mut KeyWriter) {}
    fn read(_: &mut KeyReader<'_>) -> Option<Self> {
        Some(())
    }
}

macro_rules! integer_fields {
    ($($int:ty),*) => {$(
        impl KeyFields for $int {
            fn write(&self, out: &mut KeyWriter) {
                out.raw(&self.to_be_bytes());
            }
            fn read(from: &mut KeyReader<'_>) -> Option<Self> {
                Some(Self::from_be_bytes(from.take()?))
            }
        }
    )*};
}
integer_fields!(u8, u16, u32, u64);

macro_rules! number_fields {
    ($($name:ident($int:ty)),*) => {$(
        impl KeyFields for $name {
            fn write(&self, out: &mut KeyWriter) {
                self.0.write(out);
            }
            fn read(from: &mut KeyReader<'_>) -> Option<Self> {
                Some(Self(<$int>::read(from)?))
            }
        }
    )*};
}
number_fields!(Part(u64), EventNo(u32), StateKeyNo(u32), PageNo(u32));

impl KeyFields for StreamPos {
    fn write(&self, out: &mut KeyWriter) {
        if *self == NOW {
            debug_assert!(out.stamp_at.is_none(), "a key has one position");
            out.stamp_at = u16::try_from(out.bytes.len()).ok();
        }
        self.0.write(out);
    }
    fn read(from: &mut KeyReader<'_>) -> Option<Self> {
        Some(Self(u64::read(from)?))
    }
}

impl<const N: usize> KeyFields for [u8; N] {
    fn write(&self, out: &mut KeyWriter) {
        out.raw(self);
    }
    fn read(from: &mut KeyReader<'_>) -> Option<Self> {
        from.take()
    }
}

/// Text ends with 0x00 0x01; a 0x00 inside becomes 0x00 0xff, which sorts after the end mark.
impl KeyFields for String {
    fn write(&self, out: &mut KeyWriter) {
        for &byte in self.as_bytes() {
            out.bytes.push(byte);
            if byte == 0 {
                out.bytes.push(0xff);
            }
        }
        out.raw(&[0, 1]);
    }
    fn read(from: &mut KeyReader<'_>) -> Option<Self> {
        let mut text = Vec::new();
        loop {
            match from.take::<1>()? {
                [0] => match from.take::<1>()? {
                    [0xff] => text.push(0),
                    [1] => return Self::from_utf8(text).ok(),
                    _ => return None,
                },
                [byte] => text.push(byte),
            }
        }
    }
}

macro_rules! id_fields {
    ($($id:ty),*) => {$(
        impl KeyFields for $id {
            fn write(&self, out: &mut KeyWriter) {
                self.as_str().to_owned().write(out);
            }
            fn read(from: &mut KeyReader<'_>) -> Option<Self> {
                <$id>::try_from(String::read(from)?).ok()
            }
        }
    )*};
}
id_fields!(OwnedUserId, OwnedRoomId, OwnedEventId, OwnedDeviceId, OwnedServerName);

macro_rules! tuple_fields {
    ($($field:ident $index:tt),*) => {
        impl<$($field: KeyFields),*> KeyFields for ($($field,)*) {
            fn write(&self, out: &mut KeyWriter) {
                $(self.$index.write(out);)*
            }
            fn read(from: &mut KeyReader<'_>) -> Option<Self> {
                Some(($($field::read(from)?,)*))
            }
        }
    };
}
tuple_fields!(A 0, B 1);
tuple_fields!(A 0, B 1, C 2);
tuple_fields!(A 0, B 1, C 2, D 3);

/// The key of a row: table, partition, tag and fields.
pub(crate) fn key_of(part: Part, tag: u8, fields: &impl KeyFields) -> (Key, Option<u16>) {
    let mut out = KeyWriter::new(part, tag);
    fields.write(&mut out);
    out.finish()
}

/// For error messages.
pub(crate) fn describe(table: Table, tag: u8) -> String {
    format!("{}/{}", table.name(), tag as char)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(fields: &impl KeyFields) -> Key {
        key_of(Part(7), b'x', fields).0
    }

    proptest! {
        #[test]
        fn key_order_is_value_order(a: (String, u32, String), b: (String, u32, String)) {
            prop_assert_eq!(encoded(&a).cmp(&encoded(&b)), a.cmp(&b));
        }

        #[test]
        fn fields_read_back(a: (u8, String, u64)) {
            let key = encoded(&a);
            let mut reader = KeyReader::new(&key).expect("a key has partition and tag");
            prop_assert_eq!(<(u8, String, u64)>::read(&mut reader), Some(a));
        }
    }

    #[test]
    fn a_stamped_key_says_where_its_position_goes() {
        let (key, at) = key_of(Part(7), b'x', &(3u8, NOW, 1u16));
        assert_eq!(at, Some(10));
        assert_eq!(key.as_bytes().len(), 20);
    }
}
