//! Looks through the write-ahead log before RocksDB reads it back.
//!
//! RocksDB stops at the first damaged record and silently drops everything behind it, and it skips
//! blocks of zeros without a word. Behind a power loss that is right: the end of the log is torn.
//! But the committer syncs one group before it writes the next, so if an intact record *begins*
//! behind the damage, then what is damaged had been synced and acknowledged. Then only an operator
//! may decide to go on without it.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::crc32c;

/// Records do not cross blocks of this size (RocksDB: db/log_format.h).
const BLOCK_BYTES: usize = 32 << 10;
/// Checksum (4), length (2), type (1).
const HEADER_BYTES: usize = 7;
/// A batch begins with its first sequence number (8) and the number of its rows (4).
const BATCH_HEADER_BYTES: usize = 12;

/// Damaged blocks that are searched byte by byte for a record.
const SEARCHES_MAX: usize = 64;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
/// Types from here on carry no batch.
const OTHER: u8 = 9;

/// What the log looks like.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Log {
    Whole,
    /// It ends in the middle of a write: nothing acknowledged is lost.
    Torn(Place),
    /// Acknowledged writes are damaged.
    Damaged(Place),
}

/// Where the first damage is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub file: PathBuf,
    /// Bytes of the file before the damage.
    pub offset: u64,
    /// The file's length.
    pub length: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {} of {}", self.file.display(), self.offset, self.length)
    }
}

/// Look through all logs of a directory. Costs reading them once: RocksDB then finds them cached.
///
/// # Errors
/// If a file cannot be read.
pub(super) fn look_through(dir: &Path) -> io::Result<Log> {
    let mut torn = None;
    // The sequence number that follows the batches seen so far.
    let mut next = None;
    for file in logs(dir)? {
        let seen = Reader::read(&file)?;
        if let Some(first) = seen.first_sequence
            && let Some(place) = torn.take()
            // Where the numbers go on, the server had been started behind a torn end and gone on
            // without it, as it may.
            && next != Some(first)
        {
            return Ok(Log::Damaged(place));
        }
        next = seen.next_sequence.or(next);
        if let Some(offset) = seen.damage {
            let length = fs::metadata(&file)?.len();
            let place = Place { file, offset, length };
            if seen.goes_on_behind {
                return Ok(Log::Damaged(place));
            }
            torn = Some(place);
        }
    }
    Ok(torn.map_or(Log::Whole, Log::Torn))
}

/// Give up what is behind a damage. Copies of the logs concerned are kept in the result.
///
/// # Errors
/// If the copies or the cut cannot be made.
pub(super) fn cut(dir: &Path, place: &Place) -> io::Result<PathBuf> {
    let name = place.file.file_stem().unwrap_or_default().to_string_lossy();
    let kept = dir.join(format!("damaged-{name}"));
    fs::create_dir_all(&kept)?;
    let concerned: Vec<PathBuf> =
        logs(dir)?.into_iter().filter(|file| number(file) >= number(&place.file)).collect();
    for file in &concerned {
        let copy = kept.join(file.file_name().unwrap_or_default());
        fs::copy(file, &copy)?;
        File::open(&copy)?.sync_all()?;
    }
    File::open(&kept)?.sync_all()?;
    let damaged = File::options().write(true).open(&place.file)?;
    damaged.set_len(place.offset)?;
    damaged.sync_all()?;
    for file in concerned.iter().filter(|file| **file != place.file) {
        fs::remove_file(file)?;
    }
    File::open(dir)?.sync_all()?;
    Ok(kept)
}

/// The logs of a directory, oldest first.
fn logs(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if number(&path).is_some() {
            logs.push(path);
        }
    }
    logs.sort_by_key(|path| number(path));
    Ok(logs)
}

/// `000123.log`
fn number(path: &Path) -> Option<u64> {
    let is_log = path.extension().is_some_and(|extension| extension == "log");
    is_log.then(|| path.file_stem()?.to_str()?.parse().ok()).flatten()
}

/// What stands in one log file.
#[derive(Default)]
struct Reader {
    /// Where the first record stands that cannot be what was written.
    damage: Option<u64>,
    /// Whether an intact record begins behind it.
    goes_on_behind: bool,
    first_sequence: Option<u64>,
    /// The sequence number that follows the batches before the damage.
    next_sequence: Option<u64>,
    /// The beginning of a batch whose end has not come yet, and where it began.
    open: Option<(u64, Vec<u8>)>,
    searches: usize,
}

impl Reader {
    fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut reader = Self::default();
        let mut block = vec![0; BLOCK_BYTES];
        let mut offset = 0;
        loop {
            let length = fill(&mut file, &mut block)?;
            reader.block(offset, &block[..length]);
            offset += length as u64;
            if length < BLOCK_BYTES {
                break;
            }
        }
        if reader.open.is_some() {
            reader.damaged(offset);
        }
        Ok(reader)
    }

    fn block(&mut self, offset: u64, block: &[u8]) {
        let mut at = 0;
        while at < block.len() && !is_trailer(at, block) {
            if let Some((kind, payload)) = record(&block[at..]) {
                self.record(offset + at as u64, kind, payload);
                at += HEADER_BYTES + payload.len();
            } else {
                self.damaged(offset + at as u64);
                match self.find_record(at + 1, block) {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
    }

    /// The length may be what is wrong: look for the next record everywhere. That takes long, so
    /// of much damage only the first blocks are looked through.
    fn find_record(&mut self, from: usize, block: &[u8]) -> Option<usize> {
        if self.searches == SEARCHES_MAX {
            return None;
        }
        self.searches += 1;
        let is_batch = |at: &usize| {
            let kind = block.get(at + HEADER_BYTES - 1);
            kind.is_some_and(|kind| (FULL..=LAST).contains(kind)) && record(&block[*at..]).is_some()
        };
        (from..block.len()).find(is_batch)
    }

    fn record(&mut self, at: u64, kind: u8, payload: &[u8]) {
        let begins = matches!(kind, FULL | FIRST);
        if self.damage.is_some() {
            self.goes_on_behind |= begins;
            return;
        }
        match (kind, self.open.take()) {
            (OTHER.., None) => {}
            (FULL, None) => self.batch(at, payload),
            (FIRST, None) => self.open = Some((at, head(Vec::new(), payload))),
            (MIDDLE, Some((began, start))) => self.open = Some((began, head(start, payload))),
            (LAST, Some((began, start))) => self.batch(began, &head(start, payload)),
            (_, open) => {
                self.open = open;
                self.damaged(at);
                self.goes_on_behind |= begins;
            }
        }
    }

    /// A whole batch; `start` has at least its header.
    fn batch(&mut self, at: u64, start: &[u8]) {
        let sequence = start.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let count = start.get(8..).and_then(|rest| rest.first_chunk());
        let (Some(sequence), Some(count)) = (sequence, count) else { return self.damaged(at) };
        // Zeroed blocks leave no broken record, only a gap.
        if self.next_sequence.is_some_and(|next| next != sequence) {
            self.damaged(at);
            self.goes_on_behind = true;
            return;
        }
        self.first_sequence.get_or_insert(sequence);
        self.next_sequence = Some(sequence + u64::from(u32::from_le_bytes(*count)));
    }

    /// A group of which a part is missing is damaged from its beginning.
    fn damaged(&mut self, at: u64) {
        let began = self.open.take().map_or(at, |(began, _)| began);
        self.damage.get_or_insert(began);
    }
}

/// At the end of a block that has no room for a header there are zeros.
fn is_trailer(at: usize, block: &[u8]) -> bool {
    BLOCK_BYTES - at < HEADER_BYTES && block[at..].iter().all(|byte| *byte == 0)
}

fn head(mut start: Vec<u8>, payload: &[u8]) -> Vec<u8> {
    let wanted = BATCH_HEADER_BYTES.saturating_sub(start.len()).min(payload.len());
    start.extend_from_slice(&payload[..wanted]);
    start
}

/// The intact record at the beginning of these bytes: type and payload.
fn record(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
    let kind = header[6];
    if !matches!(kind, FULL..=LAST | OTHER..) {
        return None;
    }
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let payload = rest.get(..length)?;
    let stored = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    (crc32c::masked(&bytes[6..HEADER_BYTES + length]) == stored).then_some((kind, payload))
}

/// As much as there is, up to a whole block.
fn fill(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < block.len() {
        match file.read(&mut block[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
