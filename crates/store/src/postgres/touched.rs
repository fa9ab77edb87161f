use std::collections::BTreeSet;

use super::write::Range;
use crate::{Batch, Key, Op, Table};

/// What a group writes whose commit is not known yet. Batches that see or write any of it wait.
#[derive(Default)]
pub(super) struct Touched {
    rows: BTreeSet<(Table, Key)>,
    ranges: Vec<Range>,
}

impl Touched {
    pub fn new(rows: BTreeSet<(Table, Key)>, ranges: Vec<Range>) -> Self {
        Self { rows, ranges }
    }

    /// Whether what becomes of the batch, or of these rows, depends on the order of the two.
    pub fn concerns(&self, batch: &Batch) -> bool {
        batch.pre.iter().filter_map(|pre| pre.row()).any(|row| self.has(&row))
            || batch.ops.iter().any(|op| self.concerns_op(op))
    }

    fn concerns_op(&self, op: &Op) -> bool {
        match op {
            Op::Put { t, k, .. } | Op::Del { t, k } => self.has(&(*t, k.clone())),
            // The position makes the key new, unless it is written elsewhere.
            Op::PutStamped { t, k, key_at: None, .. } => self.has(&(*t, k.clone())),
            Op::PutStamped { t, k, key_at: Some(at), .. } => {
                let prefix = &k.as_bytes()[..usize::from(*at)];
                let lo = Key::from_bytes(prefix.to_vec());
                let hi = lo.prefix_end();
                self.ranges.iter().any(|range| overlap(range, *t, &lo, &hi))
            }
            Op::DelRange { lo, hi, .. } if lo >= hi => false,
            Op::DelRange { t, lo, hi } => {
                self.rows.range((*t, lo.clone())..(*t, hi.clone())).next().is_some()
                    || self.ranges.iter().any(|range| overlap(range, *t, lo, hi))
            }
        }
    }

    fn has(&self, row: &(Table, Key)) -> bool {
        self.rows.contains(row)
            || self.ranges.iter().any(|(t, lo, hi)| *t == row.0 && *lo <= row.1 && row.1 < *hi)
    }
}

/// An empty upper bound is the end of the table: that is what follows a prefix of 0xff.
fn overlap(range: &Range, t: Table, lo: &Key, hi: &Key) -> bool {
    range.0 == t && *lo < range.2 && (hi.as_bytes().is_empty() || range.1 < *hi)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Part, Pre};

    const T: Table = Table::Box;

    fn k(rest: &str) -> Key {
        Key::from_bytes([Key::new(Part(7), b'k').as_bytes(), rest.as_bytes()].concat())
    }

    fn touched() -> Touched {
        let rows = ["a", "f", "zz"].map(|rest| (T, k(rest))).into();
        Touched::new(rows, vec![(T, k("m"), k("p"))])
    }

    fn op(op: Op) -> bool {
        touched().concerns(&Batch { ops: vec![op], ..Batch::default() })
    }

    #[test]
    fn rows_that_are_written_or_deleted_concern() {
        for (rest, concerns) in
            [("a", true), ("b", false), ("m", true), ("ooo", true), ("p", false)]
        {
            assert_eq!(op(Op::Del { t: T, k: k(rest) }), concerns, "{rest}");
            assert_eq!(op(Op::Put { t: T, k: k(rest), v: Bytes::new() }), concerns, "{rest}");
            let pre = vec![Pre::Absent { t: T, k: k(rest) }];
            assert_eq!(touched().concerns(&Batch { pre, ..Batch::default() }), concerns, "{rest}");
            assert!(!op(Op::Del { t: Table::Usr, k: k(rest) }));
        }
    }

    #[test]
    fn ranges_concern_where_they_meet() {
        for (lo, hi, concerns) in [
            ("b", "f", false),
            ("b", "g", true),
            ("g", "m", false),
            ("g", "n", true),
            ("n", "o", true),
            ("p", "z", false),
            ("z", "b", false),
        ] {
            assert_eq!(op(Op::DelRange { t: T, lo: k(lo), hi: k(hi) }), concerns, "{lo}..{hi}");
        }
    }

    #[test]
    fn new_keys_concern_only_ranges() {
        let stamped = |rest: &str, key_at| Op::PutStamped {
            t: T,
            k: k(&format!("{rest}........")),
            v: Bytes::new(),
            key_at,
            value_at: None,
        };
        let at = |rest: &str| Some(9 + rest.len() as u16);
        assert!(!op(stamped("a", at("a"))));
        assert!(op(stamped("n", at("n"))));
        assert!(op(stamped("", at(""))), "the position could lie in the range");
        assert!(op(stamped("n", None)), "an ordinary row");
    }
}
