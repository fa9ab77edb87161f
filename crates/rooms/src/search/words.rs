//! Words of messages: what the index stores of them, and how well an event fits. No I/O.

use std::collections::BTreeMap;

use blaupause_data::Event;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::rows::SearchPage;

/// Events of a page of the index.
pub(crate) const PAGE_EVENTS: u32 = 256;
/// Text of a page. What comes after that is looked at by every search; a row must not be larger.
const PAGE_BYTES_MAX: usize = 80_000;
/// Longest text whose words are stored; longer ones are looked at by every search.
const TEXT_BYTES_MAX: usize = 4_000;
/// Event `n` of a page is written as the character `FIRST + n`: two bytes in UTF-8.
const FIRST: u32 = 0x100;

/// Some of a page's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Some256([u64; 4]);

impl Some256 {
    fn add(&mut self, at: u32) {
        if let Some(bits) = self.0.get_mut(at as usize / 64) {
            *bits |= 1 << (at % 64);
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine &= theirs);
        self
    }

    /// Their places in the page, last first.
    pub(crate) fn backward(self) -> impl Iterator<Item = u32> {
        (0..PAGE_EVENTS).rev().filter(move |at| self.0[*at as usize / 64] >> (at % 64) & 1 == 1)
    }
}

/// A page that is being made.
#[derive(Default)]
pub(crate) struct PageWords {
    /// In which events each word stands.
    words: BTreeMap<String, Vec<u32>>,
    /// Events without stored words.
    always: Vec<u32>,
    bytes: usize,
}

impl PageWords {
    /// Note the event at a place in the page, if it has text.
    pub(crate) fn add(&mut self, at: u32, kind: &str, content: &RawValue) {
        let Some((_, text)) = text_of(kind, content) else { return };
        if text.len() > TEXT_BYTES_MAX || self.bytes > PAGE_BYTES_MAX - 2 * TEXT_BYTES_MAX {
            self.always.push(at);
            return;
        }
        for word in text.split_whitespace() {
            if let Some(events) = self.words.get_mut(word) {
                if events.last() != Some(&at) {
                    events.push(at);
                    self.bytes += 2;
                }
            } else {
                self.bytes += word.len() + 4;
                self.words.insert(word.to_owned(), vec![at]);
            }
        }
    }

    /// A line for each word: the word, a tab, the events it stands in. The first line has no word.
    pub(crate) fn finish(self, upto: u32) -> SearchPage {
        let mut text = String::with_capacity(self.bytes + 64);
        let words = std::iter::once((String::new(), self.always)).chain(self.words);
        for (word, events) in words {
            text.push_str(&word);
            text.push('\t');
            text.extend(events.into_iter().filter_map(|at| char::from_u32(FIRST + at)));
            text.push('\n');
        }
        SearchPage { upto, text }
    }
}

/// The events of a page that may have all the words: no other has.
pub(crate) fn with_all(page: &SearchPage, words: &[String]) -> Some256 {
    let mut always = Some256::default();
    let first = page.text.lines().next().unwrap_or_default();
    note(&mut always, first.trim_start_matches('\t'));
    let found = words.iter().map(|word| {
        let mut found = always;
        for (at, _) in page.text.match_indices(word.as_str()) {
            let line = page.text[at..].lines().next().unwrap_or_default();
            // Behind the tab there are no words, even if a letter looks like one of theirs.
            if let Some((_, events)) = line.split_once('\t') {
                note(&mut found, events);
            }
        }
        found
    });
    found.reduce(Some256::and).unwrap_or_default()
}

fn note(found: &mut Some256, events: &str) {
    events.chars().filter_map(|at| u32::from(at).checked_sub(FIRST)).for_each(|at| found.add(at));
}

/// How often the words occur; 0 if one does not, or only in a field that is not searched.
pub(super) fn rank(event: &Event, keys: &[String], words: &[String]) -> usize {
    let Some((field, text)) = text_of(&event.kind, event.content()) else { return 0 };
    if !keys.is_empty() && !keys.iter().any(|key| key == field) {
        return 0;
    }
    let counts: Vec<_> = words.iter().map(|word| text.matches(word.as_str()).count()).collect();
    if counts.contains(&0) { 0 } else { counts.iter().sum() }
}

/// Whether events of this type are found by what they say.
pub(crate) fn has_text(kind: &str) -> bool {
    matches!(kind, "m.room.message" | "m.room.name" | "m.room.topic")
}

/// What an event says, in lower case, and in which field.
fn text_of(kind: &str, content: &RawValue) -> Option<(&'static str, String)> {
    #[derive(Deserialize)]
    struct Content {
        body: Option<Value>,
        name: Option<Value>,
        topic: Option<Value>,
    }
    if !has_text(kind) {
        return None;
    }
    let content: Content = serde_json::from_str(content.get()).ok()?;
    let (field, value) = match kind {
        "m.room.message" => ("content.body", content.body),
        "m.room.name" => ("content.name", content.name),
        _ => ("content.topic", content.topic),
    };
    Some((field, value?.as_str()?.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::to_raw_value};

    use super::*;

    fn page(texts: &[&str]) -> SearchPage {
        let mut page = PageWords::default();
        for (at, text) in (0..).zip(texts) {
            let content = to_raw_value(&json!({ "body": text })).expect("JSON");
            page.add(at, "m.room.message", &content);
        }
        page.finish(PAGE_EVENTS)
    }

    fn found(page: &SearchPage, words: &[&str]) -> Vec<u32> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        with_all(page, &words).backward().collect()
    }

    #[test]
    fn a_page_gives_every_event_that_has_all_words_or_parts_of_words() {
        let page = page(&["Grüner Tee", "tee", "Blaupause", "", "kein TEE, aber grüner"]);
        assert_eq!(found(&page, &["tee"]), [4, 1, 0]);
        assert_eq!(found(&page, &["grüner", "tee"]), [4, 0]);
        assert_eq!(found(&page, &["paus"]), [2]);
        assert_eq!(found(&page, &["kaffee"]), [0u32; 0]);
    }

    #[test]
    fn the_marks_of_events_are_no_words() {
        // The first events are written as Ā, ā, Ă; somebody may search for these letters.
        let page = page(&["a", "b", "c", "Ātman"]);
        assert_eq!(found(&page, &["ā"]), [3]);
        assert_eq!(found(&page, &["ă"]), [0u32; 0]);
    }

    #[test]
    fn long_texts_and_full_pages_stay_small_and_are_always_looked_at() {
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(found(&page(&["a", &long]), &["b"]), [1]);
        let different: Vec<_> = (0..PAGE_EVENTS)
            .map(|n| (0..300).map(|m| format!("w{n}x{m} ")).collect::<String>())
            .collect();
        let texts: Vec<_> = different.iter().map(String::as_str).collect();
        let page = page(&texts);
        assert!(page.text.len() <= PAGE_BYTES_MAX, "{}", page.text.len());
        let last = found(&page, &["w255x1"]);
        assert!(last.contains(&255) && !last.contains(&0));
        assert!(found(&page, &["w3x7"]).contains(&3));
    }
}
