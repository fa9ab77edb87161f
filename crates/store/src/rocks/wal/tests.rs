use super::*;

/// Writes logs as RocksDB does.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    next: u64,
}

impl Writer {
    fn after(sequence: u64) -> Self {
        Self { bytes: Vec::new(), next: sequence }
    }

    /// One group of two rows. The result is where it begins.
    fn group(&mut self, payload_bytes: usize) -> usize {
        let mut batch = self.next.to_le_bytes().to_vec();
        batch.extend_from_slice(&2u32.to_le_bytes());
        batch.extend((0..payload_bytes).map(|at| (at * 7 % 251) as u8));
        self.next += 2;
        let (mut rest, mut start) = (&batch[..], None);
        loop {
            let left = BLOCK_BYTES - self.bytes.len() % BLOCK_BYTES;
            if left < HEADER_BYTES {
                self.bytes.resize(self.bytes.len() + left, 0);
                continue;
            }
            let begun = start.replace(start.unwrap_or(self.bytes.len())).is_some();
            let (fragment, behind) = rest.split_at(rest.len().min(left - HEADER_BYTES));
            let kind = match (begun, behind.is_empty()) {
                (false, true) => FULL,
                (false, false) => FIRST,
                (true, false) => MIDDLE,
                (true, true) => LAST,
            };
            let mut covered = vec![kind];
            covered.extend_from_slice(fragment);
            self.bytes.extend_from_slice(&crc32c::masked(&covered).to_le_bytes());
            self.bytes.extend_from_slice(&(fragment.len() as u16).to_le_bytes());
            self.bytes.extend_from_slice(&covered);
            rest = behind;
            if let (true, Some(start)) = (rest.is_empty(), start) {
                return start;
            }
        }
    }
}

fn look(logs: &[&[u8]]) -> (tempfile::TempDir, Log) {
    let dir = tempfile::tempdir().expect("temporary directory");
    for (number, bytes) in (7..).zip(logs) {
        fs::write(dir.path().join(format!("{number:06}.log")), bytes).expect("writable");
    }
    let log = look_through(dir.path()).expect("readable");
    (dir, log)
}

fn verdict(logs: &[&[u8]]) -> (&'static str, u64) {
    match look(logs).1 {
        Log::Whole => ("whole", 0),
        Log::Torn(place) => ("torn", place.offset),
        Log::Damaged(place) => ("damaged", place.offset),
    }
}

/// Groups of sizes that end everywhere in blocks, some of them longer than a block.
fn groups() -> (Vec<u8>, Vec<usize>) {
    let mut writer = Writer::default();
    let starts = (0..60).map(|n| writer.group(n * n * 977 % 90_001 % [9, 700, 90_000][n % 3]));
    let starts = starts.collect();
    (writer.bytes, starts)
}

#[test]
fn undamaged_logs_are_whole() {
    let (bytes, _) = groups();
    assert_eq!(verdict(&[]), ("whole", 0));
    assert_eq!(verdict(&[b""]), ("whole", 0));
    assert_eq!(verdict(&[&bytes]), ("whole", 0));
    let mut second = Writer::after(120);
    second.group(10);
    assert_eq!(verdict(&[&bytes, &second.bytes]), ("whole", 0));
}

#[test]
fn log_that_ends_anywhere_is_torn_where_its_last_group_begins() {
    let (bytes, starts) = groups();
    for cut in (1..bytes.len()).step_by(1_379) {
        let last = starts.iter().rev().find(|start| **start < cut).expect("the first is at 0");
        match verdict(&[&bytes[..cut]]) {
            // Behind the last byte of a group, before the filling of its block.
            ("whole", _) => {}
            (kind, offset) => assert_eq!((kind, offset), ("torn", *last as u64), "cut at {cut}"),
        }
    }
}

#[test]
fn torn_end_may_hold_garbage_or_zeros() {
    let (bytes, starts) = groups();
    let last = starts[starts.len() - 1];
    for garbage in [0u8, 0xff, 0x5a] {
        let mut bytes = bytes.clone();
        bytes[last..].fill(garbage);
        let (kind, _) = verdict(&[&bytes]);
        assert_ne!(kind, "damaged", "{garbage}");
    }
}

#[test]
fn damage_before_an_intact_group_is_damage() {
    let (bytes, starts) = groups();
    let last = starts[starts.len() - 1];
    for at in (0..last).step_by(4_613) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        let begins = starts.iter().rev().find(|start| **start <= at).expect("the first is at 0");
        let (kind, offset) = verdict(&[&bytes]);
        // The filling of blocks holds nothing.
        if bytes[at] != 0x10 || kind != "whole" {
            assert_eq!(kind, "damaged", "bit at {at}");
            assert!(offset <= at as u64 + HEADER_BYTES as u64 && offset >= *begins as u64);
        }
    }
}

#[test]
fn zeroed_block_is_damage_though_no_record_is_broken() {
    let mut writer = Writer::default();
    while writer.bytes.len() < 4 * BLOCK_BYTES {
        // Groups that fill blocks exactly, so that none of them is cut.
        writer.group(BLOCK_BYTES - HEADER_BYTES - BATCH_HEADER_BYTES);
    }
    writer.bytes[BLOCK_BYTES..2 * BLOCK_BYTES].fill(0);
    let (kind, _) = verdict(&[&writer.bytes]);
    assert_eq!(kind, "damaged");
}

#[test]
fn torn_log_before_another_is_damage_only_if_numbers_are_missing() {
    let (bytes, starts) = groups();
    let torn = &bytes[..bytes.len() - 1];
    // The server was started behind the torn group and gave its numbers again.
    let mut again = Writer::after(2 * (starts.len() as u64 - 1));
    again.group(10);
    assert_eq!(verdict(&[torn, &again.bytes]), ("whole", 0));
    assert_eq!(verdict(&[torn, b"", &again.bytes]).0, "whole");
    // It was not torn when the next log was begun.
    let mut behind = Writer::after(2 * starts.len() as u64);
    behind.group(10);
    assert_eq!(verdict(&[torn, &behind.bytes]).0, "damaged");
    assert_eq!(verdict(&[torn, b""]).0, "torn");
}

#[test]
fn cut_keeps_the_groups_before_the_damage_and_copies_of_all() {
    let (bytes, starts) = groups();
    let mut broken = bytes.clone();
    broken[starts[31] + 20] ^= 1;
    let mut second = Writer::after(2 * starts.len() as u64);
    second.group(10);
    let (dir, log) = look(&[&broken, &second.bytes]);
    let Log::Damaged(place) = log else { panic!("{log:?}") };
    let kept = cut(dir.path(), &place).expect("writable");
    assert!(fs::read(dir.path().join("000007.log")).expect("log") == bytes[..starts[31]]);
    assert!(!dir.path().join("000008.log").exists());
    assert!(fs::read(kept.join("000007.log")).expect("copy") == broken);
    assert!(fs::read(kept.join("000008.log")).expect("copy") == second.bytes);
    assert_eq!(look_through(dir.path()).expect("readable"), Log::Whole);
}
