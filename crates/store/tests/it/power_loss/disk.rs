//! A directory as a disk may have it after the power failed.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    path::Path,
};

use super::trace::{Event, Inode};

/// The disk writes pages of this size, in any order.
const PAGE: usize = 4_096;

/// Which syncs count.
#[derive(Clone, Copy, PartialEq)]
pub enum Syncs {
    Kept,
    /// As if the store did not sync its log.
    OfLogIgnored,
}

/// What is kept of what was not synced.
#[derive(Clone, Copy, Debug)]
pub enum Keeps {
    Nothing,
    /// Random pages of files and the first few changes of names, by this seed.
    Some(u64),
}

impl Keeps {
    fn one_of_two(self, what: impl std::hash::Hash) -> bool {
        match self {
            Self::Nothing => false,
            Self::Some(seed) => hash(&(seed, what)).is_multiple_of(2),
        }
    }

    /// How many of so many changes of names, which file systems keep in order.
    fn of(self, changes: usize) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Some(seed) => hash(&(seed, changes)) as usize % (changes + 1),
        }
    }
}

fn hash(what: &impl std::hash::Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(what)
}

/// Write the directory as it may be after these events and a power loss.
pub fn build(events: &[Event], syncs: Syncs, keeps: Keeps, dir: &Path) {
    let names = names(events, keeps);
    let mut logs: Vec<Inode> = Vec::new();
    if syncs == Syncs::OfLogIgnored {
        logs.extend(events.iter().filter_map(|event| match event {
            Event::Created { name, inode } if name.ends_with(".log") => Some(*inode),
            _ => None,
        }));
    }
    let mut synced: HashMap<Inode, usize> = HashMap::new();
    for event in events {
        if let Event::Synced { inode, begun } = event
            && !logs.contains(inode)
        {
            synced.insert(*inode, *begun);
        }
    }
    std::fs::create_dir(dir).expect("directory can be made");
    for (name, inode) in names {
        let last = synced.get(&inode).copied().unwrap_or(0);
        let content = content(events, inode, last, keeps);
        std::fs::write(dir.join(name), content).expect("file can be written");
    }
}

fn names(events: &[Event], keeps: Keeps) -> BTreeMap<&str, Inode> {
    let synced = events.iter().rev().find_map(|event| match event {
        Event::NamesSynced { begun } => Some(*begun),
        _ => None,
    });
    let changes: Vec<(usize, &Event)> = events
        .iter()
        .enumerate()
        .filter(|(_, event)| {
            matches!(event, Event::Created { .. } | Event::Renamed { .. } | Event::Removed { .. })
        })
        .collect();
    let certain = changes.iter().filter(|(at, _)| *at < synced.unwrap_or(0)).count();
    let count = certain + keeps.of(changes.len() - certain);
    let mut names = BTreeMap::new();
    for (_, change) in &changes[..count] {
        match change {
            Event::Created { name, inode } => {
                names.insert(name.as_str(), *inode);
            }
            Event::Renamed { from, to } => {
                if let Some(inode) = names.remove(from.as_str()) {
                    names.insert(to, inode);
                }
            }
            Event::Removed { name } => {
                names.remove(name.as_str());
            }
            _ => {}
        }
    }
    names
}

fn content(events: &[Event], inode: Inode, synced: usize, keeps: Keeps) -> Vec<u8> {
    let mut content = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let lasts = index < synced;
        match event {
            Event::Written { inode: of, at, bytes } if *of == inode => {
                write(&mut content, *at as usize, bytes, |page| {
                    lasts || keeps.one_of_two((index, page))
                });
            }
            Event::Resized { inode: of, length }
                if *of == inode && (lasts || keeps.one_of_two(index)) =>
            {
                content.resize(*length as usize, 0);
            }
            _ => {}
        }
    }
    content
}

/// The pages of a write that reach the disk. What lies before them and does not is zeros.
fn write(content: &mut Vec<u8>, at: usize, bytes: &[u8], reaches: impl Fn(usize) -> bool) {
    let mut start = 0;
    while start < bytes.len() {
        let page = (at + start) / PAGE;
        let end = bytes.len().min((page + 1) * PAGE - at);
        if reaches(page) {
            if content.len() < at + end {
                content.resize(at + end, 0);
            }
            content[at + start..at + end].copy_from_slice(&bytes[start..end]);
        }
        start = end;
    }
}
