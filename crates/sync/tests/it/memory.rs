//! What a client makes of the timeline parts that it is told.

use std::collections::HashSet;

use blaupause_rooms::{MessagesQuery, Reader};
use blaupause_testkit::TestServer;
use ruma::{
    OwnedRoomId,
    api::{Direction, client::filter::RoomEventFilter},
};
use serde_json::{Value, value::RawValue};

use crate::chance::Chance;

/// A timeline with holes, oldest first.
#[derive(Debug, Default)]
pub struct Memory {
    parts: Vec<Part>,
    known: HashSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Events are missing; `/messages` tells them from this token backward.
    Gap(String),
    Event(String),
}

/// A part of a timeline as sync tells it.
#[derive(Debug)]
pub struct Told {
    /// The client is to forget what it had.
    pub initial: bool,
    pub limited: bool,
    pub prev_batch: Option<String>,
    pub events: Vec<Value>,
}

impl Memory {
    /// Take in what sync told. `again`: the client wanted more events than before, so it may be
    /// told those again that it has.
    pub fn hear(&mut self, told: Told, again: bool) {
        if told.initial {
            *self = Self::default();
        }
        let known = told.events.iter().position(|event| self.known.contains(&event_id(event)));
        if let Some(known) = known.filter(|_| again) {
            return self.hear_again(told, known);
        }
        if told.limited || told.initial {
            // A hole that begins where one ends is the same hole.
            while let Some(Part::Gap(_)) = self.parts.last() {
                self.parts.pop();
            }
            match told.prev_batch {
                Some(token) => self.parts.push(Part::Gap(token)),
                None => assert!(!told.limited, "a gap without a way to fill it"),
            }
        }
        for event in told.events {
            let id = event_id(&event);
            assert!(self.known.insert(id.clone()), "{id} is told again: {:?}", self.parts);
            self.parts.push(Part::Event(id));
        }
    }

    /// Take in the newest events, of which number `known` is the first that is known.
    fn hear_again(&mut self, told: Told, known: usize) {
        let told_ids: Vec<_> = told.events.iter().map(event_id).collect();
        let first = Part::Event(told_ids[known].clone());
        let at = self.parts.iter().position(|part| *part == first).expect("is known");
        let mut rest = told_ids[known..].iter();
        for part in self.parts.drain(at..) {
            if let Part::Event(id) = part {
                assert!(rest.any(|told| *told == id), "{id} is left out or in another order");
            }
        }
        if known > 0 {
            let before = self.parts.pop();
            let is_hole = matches!(before, None | Some(Part::Gap(_)));
            assert!(is_hole, "events before what was whole: {before:?}");
            self.parts.extend(told.prev_batch.filter(|_| told.limited).map(Part::Gap));
        }
        self.known.extend(told_ids.iter().cloned());
        self.parts.extend(told_ids.into_iter().map(Part::Event));
    }

    pub fn knows(&self, event: &str) -> bool {
        self.known.contains(event)
    }

    fn newest_gap(&self) -> Option<(usize, String)> {
        self.parts.iter().enumerate().rev().find_map(|(at, part)| match part {
            Part::Gap(token) => Some((at, token.clone())),
            Part::Event(_) => None,
        })
    }

    /// Ask for one page of what is missing. Whether something was missing.
    pub async fn fill(
        &mut self,
        server: &TestServer,
        reader: &Reader,
        room: &OwnedRoomId,
        chance: &Chance,
        check: impl Fn(&Value),
    ) -> bool {
        let Some((at, token)) = self.newest_gap() else { return false };
        let query = MessagesQuery {
            from: Some(token),
            to: None,
            dir: Direction::Backward,
            limit: if chance.one_in(2) { 1 + chance.below(6) } else { 50 },
            filter: RoomEventFilter::default(),
        };
        let access = server.rooms.access(reader, room).await.expect("a member reads");
        let page = access.messages(&query).await.expect("a token of sync is one of messages");
        for json in &page.chunk {
            let event = parsed(json);
            check(&event);
            let id = event_id(&event);
            if !self.known.insert(id.clone()) {
                let before = at.checked_sub(1).map(|before| &self.parts[before]);
                assert_eq!(before, Some(&Part::Event(id)), "the page leaves out events");
                self.parts.remove(at);
                return true;
            }
            self.parts.insert(at + 1, Part::Event(id));
        }
        match page.end {
            Some(end) => self.parts[at] = Part::Gap(end),
            None => {
                assert_eq!(at, 0, "the history ends where events are known before");
                self.parts.remove(at);
            }
        }
        true
    }

    /// The newest event, if nothing is missing behind it.
    pub fn newest(&self) -> Option<&str> {
        match self.parts.last()? {
            Part::Event(id) => Some(id),
            Part::Gap(_) => None,
        }
    }

    /// All events, oldest first.
    ///
    /// # Panics
    /// If something is missing.
    pub fn events(&self) -> Vec<String> {
        let event = |part: &Part| match part {
            Part::Event(id) => id.clone(),
            Part::Gap(_) => panic!("events are missing: {:?}", self.parts),
        };
        self.parts.iter().map(event).collect()
    }
}

pub fn parsed(json: &RawValue) -> Value {
    serde_json::from_str(json.get()).expect("JSON")
}

fn event_id(event: &Value) -> String {
    event["event_id"].as_str().expect("an id").to_owned()
}
