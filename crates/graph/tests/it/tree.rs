use std::collections::{BTreeMap, HashMap};

use blaupause_graph::{
    EventNo, PageNo, StateKeyNo, StateRoot, Step,
    tree::{self, Changed, PAGE_SIZE_BYTES_MAX},
};
use proptest::prelude::*;

use crate::cases::cases;

/// Random histories in the quick run.
const HISTORIES: u32 = 300;

#[derive(Clone, Default)]
struct Pages(HashMap<PageNo, Vec<u8>>);

impl Pages {
    fn set(&mut self, root: StateRoot, changes: &[(StateKeyNo, Option<EventNo>)]) -> StateRoot {
        let next = PageNo(u32::try_from(self.0.len()).expect("few"));
        let written =
            tree::set(root, changes, next, &self.0).expect("sound").done().expect("all there");
        for ((no, page), expected) in written.pages.into_iter().zip(next.0..) {
            assert_eq!(no.0, expected, "pages are numbered without gaps");
            assert!(page.len() <= PAGE_SIZE_BYTES_MAX, "{} bytes", page.len());
            assert!(self.0.insert(no, page).is_none());
        }
        written.root
    }

    fn entries(&self, root: StateRoot) -> BTreeMap<StateKeyNo, EventNo> {
        let entries = tree::entries(root, &self.0).expect("sound").done().expect("all there");
        entries.into_iter().collect()
    }

    fn diff(&self, before: StateRoot, after: StateRoot) -> Vec<Changed> {
        tree::diff(before, after, &self.0).expect("sound").done().expect("all there")
    }
}

fn apply(map: &mut BTreeMap<StateKeyNo, EventNo>, changes: &[(StateKeyNo, Option<EventNo>)]) {
    for (key, event) in changes {
        match event {
            Some(event) => map.insert(*key, *event),
            None => map.remove(key),
        };
    }
}

/// Keys near each other, in the next levels, and at the very end.
fn key() -> impl Strategy<Value = StateKeyNo> {
    prop_oneof![8 => 0..70_u32, 4 => 0..5_000_u32, 1 => 0..300_000_u32, 1 => any::<u32>()]
        .prop_map(StateKeyNo)
}

fn changes() -> impl Strategy<Value = Vec<(StateKeyNo, Option<EventNo>)>> {
    let event = prop_oneof![4 => (0..50_u32).prop_map(|no| Some(EventNo(no))), 1 => Just(None)];
    prop::collection::vec((key(), event), 0..40)
}

proptest! {
    #![proptest_config(cases(HISTORIES))]

    #[test]
    fn a_tree_is_a_map_and_old_roots_stay_readable(
        history in prop::collection::vec(changes(), 1..8),
        asked in prop::collection::vec(key(), 0..20),
    ) {
        let mut pages = Pages::default();
        let mut versions = vec![(StateRoot::EMPTY, BTreeMap::new())];
        for changes in &history {
            let (root, mut map) = versions.last().cloned().expect("not empty");
            apply(&mut map, changes);
            versions.push((pages.set(root, changes), map));
        }
        for (root, map) in &versions {
            prop_assert_eq!(&pages.entries(*root), map);
            let found = tree::get_many(*root, &asked, &pages.0).expect("sound").done();
            let expected: Vec<_> = asked.iter().map(|key| map.get(key).copied()).collect();
            prop_assert_eq!(found, Some(expected));
        }
        for (before, old) in &versions {
            for (after, new) in &versions {
                let mut expected: Vec<Changed> = old.keys().chain(new.keys())
                    .map(|key| Changed {
                        key: *key, before: old.get(key).copied(), after: new.get(key).copied(),
                    })
                    .filter(|changed| changed.before != changed.after)
                    .collect();
                expected.sort_unstable();
                expected.dedup();
                prop_assert_eq!(pages.diff(*before, *after), expected);
            }
        }
    }

    #[test]
    fn with_pages_absent_the_answer_is_a_need_and_then_the_same(
        first in changes(), second in changes(), asked in prop::collection::vec(key(), 1..20),
    ) {
        let mut pages = Pages::default();
        let old = pages.set(StateRoot::EMPTY, &first);
        let new = pages.set(old, &second);
        let mut at_hand: HashMap<PageNo, Vec<u8>> = HashMap::new();
        let mut rounds = 0;
        let found = loop {
            match tree::get_many(new, &asked, &at_hand).expect("sound") {
                Step::Done(found) => break found,
                Step::Need(need) => {
                    rounds += 1;
                    prop_assert!(rounds <= 6, "one round a level");
                    at_hand.extend(need.pages.iter().map(|no| (*no, pages.0[no].clone())));
                }
            }
        };
        prop_assert_eq!(Some(found), tree::get_many(new, &asked, &pages.0).expect("sound").done());
        let mut at_hand: HashMap<PageNo, Vec<u8>> = HashMap::new();
        let changed = loop {
            match tree::diff(old, new, &at_hand).expect("sound") {
                Step::Done(changed) => break changed,
                Step::Need(need) => {
                    at_hand.extend(need.pages.iter().map(|no| (*no, pages.0[no].clone())));
                }
            }
        };
        prop_assert_eq!(changed, pages.diff(old, new));
        let mut at_hand: HashMap<PageNo, Vec<u8>> = HashMap::new();
        let next = PageNo(1_000);
        let written = loop {
            match tree::set(old, &second, next, &at_hand).expect("sound") {
                Step::Done(written) => break written,
                Step::Need(need) => {
                    at_hand.extend(need.pages.iter().map(|no| (*no, pages.0[no].clone())));
                }
            }
        };
        let whole = tree::set(old, &second, next, &pages.0).expect("sound").done();
        prop_assert_eq!(Some(written), whole);
    }
}

#[test]
fn setting_what_is_there_writes_nothing() {
    let mut pages = Pages::default();
    let all: Vec<_> = (0..5_000).map(|no| (StateKeyNo(no), Some(EventNo(no)))).collect();
    let root = pages.set(StateRoot::EMPTY, &all);
    let written = pages.0.len();
    assert_eq!(pages.set(root, &all), root);
    assert_eq!(pages.set(root, &[]), root);
    assert_eq!(pages.set(root, &[(StateKeyNo(4_000_000), None)]), root);
    assert_eq!(pages.set(StateRoot::EMPTY, &[(StateKeyNo(0), None)]), StateRoot::EMPTY);
    assert_eq!(pages.0.len(), written);
}

#[test]
fn one_change_of_a_large_room_is_one_page() {
    let mut pages = Pages::default();
    let all: Vec<_> = (0..100_000).map(|no| (StateKeyNo(no), Some(EventNo(no)))).collect();
    let root = pages.set(StateRoot::EMPTY, &all);
    let bulk_bytes: usize = pages.0.values().map(Vec::len).sum();
    assert!(bulk_bytes < 450_000, "100,000 members take {bulk_bytes} bytes");
    let before = pages.0.len();
    assert!(before < 30, "{before} pages");
    let root = pages.set(root, &[(StateKeyNo(54_321), Some(EventNo(200_000)))]);
    assert_eq!(pages.0.len(), before + 1);
    let page = &pages.0[&root.page().expect("not empty")];
    assert!(page.len() < 760, "{} bytes", page.len());
    assert_eq!(pages.entries(root)[&StateKeyNo(54_321)], EventNo(200_000));
}

#[test]
fn removing_every_key_leaves_the_empty_state() {
    let mut pages = Pages::default();
    let all: Vec<_> = (0..200).map(|no| (StateKeyNo(no * 77), Some(EventNo(no)))).collect();
    let root = pages.set(StateRoot::EMPTY, &all);
    let none: Vec<_> = all.iter().map(|(key, _)| (*key, None)).collect();
    assert_eq!(pages.set(root, &none), StateRoot::EMPTY);
}
