//! What strace wrote, as changes of one directory.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::crash::{Ack, parse};

/// A file, whatever its name is at the moment.
pub type Inode = usize;

#[derive(Debug)]
pub enum Event {
    Created {
        name: String,
        inode: Inode,
    },
    Written {
        inode: Inode,
        at: u64,
        bytes: Vec<u8>,
    },
    Resized {
        inode: Inode,
        length: u64,
    },
    Renamed {
        from: String,
        to: String,
    },
    Removed {
        name: String,
    },
    /// Everything that had happened to the file before event `begun` lasts.
    Synced {
        inode: Inode,
        begun: usize,
    },
    /// The same for the names in the directory.
    NamesSynced {
        begun: usize,
    },
    /// A batch was acknowledged.
    Said(Ack),
}

pub struct Trace {
    pub events: Vec<Event>,
}

impl Trace {
    pub fn read(file: &Path, dir: &Path) -> Self {
        let mut reader = Reader { dir: dir.to_owned(), ..Reader::default() };
        let text = std::fs::read_to_string(file).expect("strace wrote a record");
        for line in text.lines() {
            reader.line(line);
        }
        Self { events: reader.events }
    }
}

#[derive(Default)]
struct Reader {
    dir: PathBuf,
    events: Vec<Event>,
    /// Calls that have begun and not returned, by thread: what was said, and when.
    begun: HashMap<String, (String, usize)>,
    open: HashMap<i64, Open>,
    names: HashMap<String, Inode>,
    inodes: usize,
    is_done: HashMap<String, bool>,
}

enum Open {
    File { inode: Inode, at: u64 },
    Dir,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let Some((thread, rest)) = line.split_once(' ') else { return };
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            // What is on its way out has been decided, and the number of a file that is being
            // closed may be given again before that call returns.
            let said = self.say(start) || self.closed(start);
            self.is_done.insert(thread.into(), said);
            self.begun.insert(thread.into(), (start.into(), self.events.len()));
        } else if let Some(end) = rest.strip_prefix("<... ") {
            let Some((start, begun)) = self.begun.remove(thread) else { return };
            let Some((_, end)) = end.split_once("resumed>") else { return };
            if self.is_done.remove(thread) != Some(true) {
                self.call(&format!("{start}{end}"), begun);
            }
        } else if !self.say(rest) && !self.closed(rest) {
            self.call(rest, self.events.len());
        }
    }

    /// Whether it is an acknowledgement.
    fn say(&mut self, call: &str) -> bool {
        let Some(rest) = call.strip_prefix("write(1, ") else { return false };
        let text = String::from_utf8_lossy(&unquote(rest)).into_owned();
        for ack in text.lines().filter_map(parse) {
            self.events.push(Event::Said(ack));
        }
        true
    }

    /// Whether it closes a file.
    fn closed(&mut self, call: &str) -> bool {
        let Some(rest) = call.strip_prefix("close(") else { return false };
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        self.open.remove(&int(digits));
        true
    }

    fn call(&mut self, call: &str, begun: usize) {
        let Some((name, rest)) = call.split_once('(') else { return };
        let Some((args, result)) = rest.rsplit_once(" = ") else { return };
        let Ok(result) = result.split(' ').next().unwrap_or_default().parse::<i64>() else {
            return;
        };
        if result < 0 {
            return;
        }
        let args = args.trim_end();
        let args: Vec<&str> = args.strip_suffix(')').unwrap_or(args).split(", ").collect();
        match name {
            "open" | "creat" => {
                self.opened(args[0], args.get(1).copied().unwrap_or("O_CREAT|O_TRUNC"), result)
            }
            "openat" => self.opened(args[1], args[2], result),
            "write" => self.written(int(args[0]), args[1], None, result),
            "pwrite64" => self.written(int(args[0]), args[1], Some(int(args[3]) as u64), result),
            "ftruncate" => self.resized(int(args[0]), int(args[1]) as u64),
            "fallocate" if args[1] == "0" => {
                self.resized(int(args[0]), (int(args[2]) + int(args[3])) as u64);
            }
            "fsync" | "fdatasync" => self.synced(int(args[0]), begun),
            "rename" => self.renamed(args[0], args[1]),
            "renameat" | "renameat2" => self.renamed(args[1], args[3]),
            "unlink" => self.removed(args[0]),
            "unlinkat" => self.removed(args[1]),
            _ => {}
        }
    }

    /// The name in the directory; `None` for what lies elsewhere.
    fn name(&self, quoted: &str) -> Option<String> {
        let path = PathBuf::from(String::from_utf8(unquote(quoted)).ok()?);
        let name = path.strip_prefix(&self.dir).ok()?.to_str()?.to_owned();
        assert!(!name.contains('/'), "the directory has no directories: {name}");
        (!name.is_empty()).then_some(name)
    }

    fn opened(&mut self, path: &str, flags: &str, fd: i64) {
        self.open.remove(&fd);
        if unquote(path) == self.dir.to_string_lossy().as_bytes() {
            self.open.insert(fd, Open::Dir);
        }
        let Some(name) = self.name(path) else { return };
        let is_new = !self.names.contains_key(&name);
        if is_new && !flags.contains("O_CREAT") {
            return;
        }
        let inode = *self.names.entry(name.clone()).or_insert_with(|| {
            self.inodes += 1;
            self.inodes
        });
        if is_new {
            self.events.push(Event::Created { name, inode });
        } else if flags.contains("O_TRUNC") {
            self.events.push(Event::Resized { inode, length: 0 });
        }
        self.open.insert(fd, Open::File { inode, at: 0 });
    }

    fn written(&mut self, fd: i64, data: &str, position: Option<u64>, count: i64) {
        let Some(Open::File { inode, at }) = self.open.get_mut(&fd) else { return };
        let mut bytes = unquote(data);
        assert!(bytes.len() >= count as usize, "strace recorded all bytes");
        bytes.truncate(count as usize);
        let start = position.unwrap_or(*at);
        if position.is_none() {
            *at += bytes.len() as u64;
        }
        self.events.push(Event::Written { inode: *inode, at: start, bytes });
    }

    fn resized(&mut self, fd: i64, length: u64) {
        if let Some(Open::File { inode, .. }) = self.open.get(&fd) {
            self.events.push(Event::Resized { inode: *inode, length });
        }
    }

    fn synced(&mut self, fd: i64, begun: usize) {
        match self.open.get(&fd) {
            Some(Open::File { inode, .. }) => {
                self.events.push(Event::Synced { inode: *inode, begun });
            }
            Some(Open::Dir) => self.events.push(Event::NamesSynced { begun }),
            None => {}
        }
    }

    fn renamed(&mut self, from: &str, to: &str) {
        if let (Some(from), Some(to)) = (self.name(from), self.name(to))
            && let Some(inode) = self.names.remove(&from)
        {
            self.names.insert(to.clone(), inode);
            self.events.push(Event::Renamed { from, to });
        }
    }

    fn removed(&mut self, path: &str) {
        if let Some(name) = self.name(path)
            && self.names.remove(&name).is_some()
        {
            self.events.push(Event::Removed { name });
        }
    }
}

fn int(text: &str) -> i64 {
    text.trim().parse().unwrap_or_else(|_| panic!("a number: {text:.80}"))
}

/// The bytes of `"\x61\x62"`.
fn unquote(text: &str) -> Vec<u8> {
    let text = text.trim_start().strip_prefix('"').unwrap_or_default();
    let text = text.split('"').next().unwrap_or_default();
    let byte = |hex: &str| u8::from_str_radix(hex, 16).expect("strace -xx writes hex");
    text.split("\\x").skip(1).map(byte).collect()
}
