//! What every kind of row must do. Crates that declare rows call this in their tests.
//!
//! What is stored must be readable for ever. So each crate describes its rows once, as functions
//! that make values out of [`Any`]; from that a [`Catalogue`] takes fixed examples, whose bytes are
//! compared with a file in the crate, and random ones, which must read back. A row that is declared
//! and not described fails the test as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use blaupause_graph::StateRoot;
use blaupause_store::{Part, StreamPos};
use ruma::{
    EventId, OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId,
    ServerName, UserId,
};

#[cfg(test)]
use crate::Change;
use crate::{
    Found, Place, Row,
    codec::{KeyFields, KeyReader, key_of},
    row::{decode, encode},
};

/// A kind of change line, and how to make one.
#[cfg(test)]
type NamedChange<'a> = (&'a str, &'a dyn Fn(&mut Any) -> Change);

/// Random values that each kind of row has to read back.
const RANDOM_VALUES: u64 = 300;
/// The partition of all examples.
const PART: Part = Part(0x0123_4567_89ab_cdef);
/// Version in front of the examples of versioned rows.
const VERSION: u64 = 7;
/// Numbers at which encodings change their length, and the ends.
const EDGES: [u64; 9] = [
    0,
    1,
    0x7f,
    0x80,
    0x3fff,
    0x4000,
    u32::MAX as u64,
    u64::MAX - 1, // the largest position that a row can have
    u64::MAX,
];

/// Makes values for the fields of a row.
#[derive(Debug)]
pub struct Any(Mode);

#[derive(Debug)]
enum Mode {
    /// Everything that can be there is there; each number is one more than the last.
    Full(u64),
    /// Nothing that can be left out is there.
    Bare,
    /// The state of a small generator (SplitMix64).
    Random(u64),
}

impl Any {
    fn random(&mut self) -> u64 {
        match &mut self.0 {
            Mode::Full(next) => {
                *next += 1;
                *next
            }
            Mode::Bare => 0,
            Mode::Random(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                mixed ^ (mixed >> 31)
            }
        }
    }

    fn is_random(&self) -> bool {
        matches!(self.0, Mode::Random(_))
    }

    /// A number.
    pub fn number(&mut self) -> u64 {
        let number = self.random();
        if self.is_random() && number.is_multiple_of(2) {
            return EDGES[self.random() as usize % EDGES.len()];
        }
        number
    }

    /// A number of at most 32 bits.
    pub fn small(&mut self) -> u32 {
        self.number() as u32
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        match self.0 {
            Mode::Full(_) => true,
            _ => !self.random().is_multiple_of(2),
        }
    }

    /// One of some values: the last one in the full example, the first one in the bare one.
    ///
    /// # Panics
    /// If there are none.
    pub fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        let at = match self.0 {
            Mode::Full(_) => of.len() - 1,
            _ => self.random() as usize % of.len(),
        };
        of[at].clone()
    }

    /// A value or none.
    pub fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| make(self))
    }

    /// Up to four values.
    pub fn list<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = match self.0 {
            Mode::Full(_) => 2,
            _ => self.random() % 5,
        };
        (0..count).map(|_| make(self)).collect()
    }

    /// Bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.random() as u8;
        }
        bytes
    }

    /// Text, also such that is hard to store.
    pub fn text(&mut self) -> String {
        const LETTERS: [&str; 8] = ["a", "Z", "\0", "\u{1}", "ÿ", "漢", "\u{10ffff}", " "];
        match self.0 {
            Mode::Full(_) => format!("text{}", self.random()),
            Mode::Bare => String::new(),
            Mode::Random(_) => {
                let count = self.one_of(&[0, 1, 2, 7, 200]);
                (0..count).map(|_| self.one_of(&LETTERS)).collect()
            }
        }
    }

    fn name(&mut self) -> String {
        format!("n{}", self.random())
    }

    /// A user id.
    pub fn user(&mut self) -> OwnedUserId {
        UserId::parse(format!("@{}:example.org", self.name())).expect("a user id")
    }

    /// A room id.
    pub fn room(&mut self) -> OwnedRoomId {
        RoomId::parse(format!("!{}:example.org", self.name())).expect("a room id")
    }

    /// A server name.
    pub fn server(&mut self) -> OwnedServerName {
        ServerName::parse(format!("{}.example.org", self.name())).expect("a server name")
    }

    /// An event id.
    pub fn event(&mut self) -> OwnedEventId {
        EventId::parse(format!("${}", self.name())).expect("an event id")
    }

    /// A device id.
    pub fn device(&mut self) -> OwnedDeviceId {
        OwnedDeviceId::from(self.name())
    }

    /// A position that a batch can have.
    pub fn pos(&mut self) -> StreamPos {
        StreamPos(self.number().min(u64::MAX - 1))
    }

    /// A place in a timeline.
    pub fn place(&mut self) -> Place {
        let (pos, count, index) = (self.pos(), self.number() / 2, self.small() as u16);
        self.one_of(&[Place::START, Place::history(count), Place::END, Place::live(pos, index)])
    }

    /// A state root.
    pub fn state(&mut self) -> StateRoot {
        let (height, page) = (self.one_of(&[0, 1, 3, 6]), self.small());
        if height == 0 {
            return StateRoot::EMPTY;
        }
        let packed = (u64::from(page) << 6) | (self.random() % 64);
        let [_, _, _, node @ ..] = packed.to_be_bytes();
        let [a, b, c, d, e] = node;
        StateRoot::from_bytes([height, a, b, c, d, e]).expect("a state root")
    }

    /// A partition.
    pub fn part(&mut self) -> Part {
        Part(self.number())
    }
}

/// The rows of a crate as they are stored.
#[derive(Debug, Default)]
pub struct Catalogue {
    lines: Vec<String>,
    names: BTreeSet<String>,
}

impl Catalogue {
    /// Without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// A kind of row. To be called more than once where the value is one of several things.
    ///
    /// # Panics
    /// If one of many random values does not read back as it was written.
    pub fn row<R: Row>(&mut self, make: impl Fn(&mut Any) -> (R::Key, R::Value)) {
        let name = std::any::type_name::<R>();
        let name = name.rsplit("::").next().unwrap_or(name);
        for (example, mode) in [("full", Mode::Full(0)), ("bare", Mode::Bare)] {
            let (key, value) = make(&mut Any(mode));
            let (key, _) = key_of(PART, R::TAG, &key);
            let (value, _) = encode::<R>(VERSION, &value);
            let at = format!("{}/{}", R::TABLE.name(), R::TAG as char);
            let fields = hex(&key.as_bytes()[8..]);
            self.lines.push(format!("{name} {example} {at} {fields} {}", hex(&value)));
        }
        for seed in 0..RANDOM_VALUES {
            let (key, value) = make(&mut Any(Mode::Random(seed)));
            reads_back::<R>(name, seed, &key, &value);
        }
        self.names.insert(name.to_owned());
    }

    /// Kinds of change lines, with their names.
    #[cfg(test)]
    pub(crate) fn changes(&mut self, make: &[NamedChange<'_>]) {
        for (name, make) in make {
            let line = make(&mut Any(Mode::Full(0))).encode();
            self.lines.push(format!("Change::{name} full seq/l {}", hex(&line)));
            for seed in 0..RANDOM_VALUES {
                let change = make(&mut Any(Mode::Random(seed)));
                assert_eq!(Change::decode(&change.encode()), Some(change), "{name}, seed {seed}");
            }
        }
    }

    /// Compare with what the crate's file says of the bytes, and with the rows that the crate in
    /// `folder` (its `CARGO_MANIFEST_DIR`) declares.
    ///
    /// # Panics
    /// If bytes changed or a declared row was not described. Bytes of a row that was ever released
    /// never change: give the row a new format number and let it read the old one.
    pub fn check(&self, folder: &str, stored: &str) {
        let declared: BTreeSet<String> =
            declared(Path::new(folder)).into_iter().map(|row| row.name).collect();
        assert_eq!(declared, self.names, "rows that are declared (left) and described (right)");
        let stored: Vec<&str> = stored.lines().filter(|line| !line.is_empty()).collect();
        let mut differences = String::new();
        for line in stored.iter().filter(|line| !self.lines.iter().any(|now| now == *line)) {
            let _ = writeln!(differences, "- {line}");
        }
        for line in self.lines.iter().filter(|line| !stored.contains(&line.as_str())) {
            let _ = writeln!(differences, "+ {line}");
        }
        assert!(differences.is_empty(), "stored bytes changed:\n{differences}");
    }
}

fn reads_back<R: Row>(name: &str, seed: u64, key: &R::Key, value: &R::Value) {
    let (bytes, _) = encode::<R>(seed, value);
    let found: Found<R::Value> =
        decode::<R>(&bytes).unwrap_or_else(|error| panic!("{name}, seed {seed}: {error}"));
    assert_eq!(encode::<R>(found.version, &found.value).0, bytes, "{name}, seed {seed}: value");
    let (bytes, _) = key_of(PART, R::TAG, key);
    let fields = KeyReader::new(&bytes).and_then(|mut reader| R::Key::read(&mut reader));
    let fields = fields.unwrap_or_else(|| panic!("{name}, seed {seed}: key"));
    assert_eq!(key_of(PART, R::TAG, &fields).0, bytes, "{name}, seed {seed}: key");
}

/// A `row!` in a source file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declared {
    pub name: String,
    /// Table and tag as the catalogue writes them: `meta`, `h`.
    pub table: String,
    pub tag: char,
}

/// All rows that the sources of a crate declare.
///
/// # Panics
/// If the sources cannot be read.
pub fn declared(crate_folder: &Path) -> Vec<Declared> {
    let mut folders = vec![crate_folder.join("src")];
    let mut rows = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder of the sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                rows.extend(declared_in(&text));
            }
        }
    }
    rows.sort();
    rows
}

/// `row! {`, documentation, then `pub Name: Table b'x' …`.
fn declared_in(text: &str) -> Vec<Declared> {
    let bodies = text.split("\nrow! {").skip(1);
    let row = |body: &str| {
        let code = body
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with('#'))?;
        let (name, rest) = code.split_once(':')?;
        let mut words = rest.split_whitespace();
        let table = words.next()?.to_lowercase();
        let tag = words.next()?.strip_prefix("b'")?.chars().next()?;
        Some(Declared { name: name.split_whitespace().last()?.to_owned(), table, tag })
    };
    bodies.filter_map(row).collect()
}

/// Tables and tags that more than one row has, with the names of those rows.
pub fn given_twice(rows: &[Declared]) -> Vec<(String, Vec<String>)> {
    let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        tags.entry(format!("{}/{}", row.table, row.tag)).or_default().push(row.name.clone());
    }
    tags.into_iter().filter(|(_, names)| names.len() > 1).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
