//! What must be there after the restart.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::{Message, World};
use crate::{
    http::{Client, encoded},
    people,
};

/// More pages than any room of this test has.
const PAGES_MAX: usize = 1_000;

/// Event id and body of every message of a room, in order.
fn timeline(world: &World, client: &mut Client, room: usize) -> Vec<(String, String)> {
    let room = encoded(&world.rooms[room]);
    let mut found = Vec::new();
    let mut from = String::new();
    for _ in 0..PAGES_MAX {
        let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=f&limit=100{from}");
        let page = client.must(&world.alice.ask("GET", &path));
        for event in page["chunk"].as_array().expect("a chunk") {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            if event["type"] == "m.room.message" {
                found.push((text(&event["event_id"]), text(&event["content"]["body"])));
            }
        }
        match page["end"].as_str() {
            Some(end) => from = format!("&from={}", encoded(end)),
            None => return found,
        }
    }
    panic!("the room has no end");
}

pub fn messages_are_there_in_order_and_once(world: &World, client: &mut Client) {
    let messages = world.messages.lock().expect("unpoisoned");
    for room in 0..world.rooms.len() {
        let found = timeline(world, client, room);
        let ids: HashSet<&String> = found.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), found.len(), "an event is there twice");
        let texts: HashSet<&String> = found.iter().map(|(_, text)| text).collect();
        assert_eq!(texts.len(), found.len(), "a message was stored twice");
        let sent: HashMap<&String, &Message> =
            messages.iter().filter(|m| m.room == room).map(|m| (&m.txn, m)).collect();
        for message in sent.values() {
            if let Some((_, event)) = &message.answer {
                assert!(ids.contains(event), "{} was answered and is gone", message.txn);
            }
        }
        check_order(&found, &sent);
    }
}

/// Who was answered before another was asked stands before it.
fn check_order(found: &[(String, String)], sent: &HashMap<&String, &Message>) {
    let mut earliest_answer_after = u64::MAX;
    for (id, text) in found.iter().rev() {
        let message = sent[text];
        assert!(
            message.asked_at < earliest_answer_after,
            "{text} stands before a message that was answered before it was asked"
        );
        if let Some((answered_at, event)) = &message.answer {
            assert_eq!(event, id, "{text} has another id than its sender was told");
            earliest_answer_after = earliest_answer_after.min(*answered_at);
        }
    }
}

/// The same question once more: an answered one gives the same event, an unanswered one is done
/// now, and once.
pub fn transaction_ids_are_still_known(world: &World, client: &mut Client, round: usize) {
    let prefix = format!("r{round}s");
    let mut again = world.messages.lock().expect("unpoisoned");
    // The last ones of each sender are those at the edge.
    let from = again.len().saturating_sub(40);
    for message in again[from..].iter_mut().filter(|m| m.txn.starts_with(&prefix)) {
        let room = &world.rooms[message.room];
        let event = world.alice.send(client, room, &message.txn, &message.txn);
        match &message.answer {
            Some((_, known)) => assert_eq!(*known, event, "{} made a second event", message.txn),
            // It counts as asked now: only that it is there once was promised.
            None => message.answer = Some((world.tick(), event)),
        }
    }
    drop(again);
    messages_are_there_in_order_and_once(world, client);
}

pub fn other_things_are_there(world: &World, client: &mut Client) {
    account_data_is_there(world, client);
    receipt_is_there(world, client);
    to_device_messages_come_in_order_and_once(world, client);
    let mut others = world.others.lock().expect("unpoisoned");
    for name in others.registered.drain(..) {
        people::login(client, &name, people::PASSWORD);
    }
    for (id, content) in others.uploaded.drain(..) {
        let path = format!("/_matrix/client/v1/media/download/example.org/{id}");
        let answer = client.ask(&world.bob.ask("GET", &path)).expect("an answer");
        assert_eq!(answer.status, 200, "media {id}: {}", answer.shown());
        assert!(answer.body == content, "media {id} has changed");
    }
}

fn account_data_is_there(world: &World, client: &mut Client) {
    let (stored, tried) = world.others.lock().expect("unpoisoned").account_data;
    if stored == 0 {
        return;
    }
    let user = encoded(&world.alice.id);
    let path = format!("/_matrix/client/v3/user/{user}/account_data/org.example.count");
    let n = client.must(&world.alice.ask("GET", &path))["n"].as_u64().expect("a number");
    assert!((stored..=tried).contains(&n), "account data went back from {stored} to {n}");
}

fn receipt_is_there(world: &World, client: &mut Client) {
    let (stored, tried) = world.others.lock().expect("unpoisoned").receipts.clone();
    let Some(stored) = stored else { return };
    let seen = client.must(&world.alice.ask("GET", "/_matrix/client/v3/sync?timeout=0"));
    let room = &seen["rooms"]["join"][&world.rooms[0]];
    let events = room["ephemeral"]["events"].as_array().cloned().unwrap_or_default();
    let has = |id: &str| {
        events.iter().any(|event| {
            event["type"] == "m.receipt"
                && event["content"][id]["m.read"].get(&world.alice.id).is_some()
        })
    };
    assert!(
        has(&stored) || tried.is_some_and(|id| has(&id)),
        "no receipt for {stored}: {events:?}"
    );
}

fn to_device_messages_come_in_order_and_once(world: &World, client: &mut Client) {
    let mut others = world.others.lock().expect("unpoisoned");
    // A server may give few at once; what is behind `since` counts as taken.
    for _ in 0..PAGES_MAX {
        let since = match &others.since_of_bob {
            Some(since) => format!("&since={}", encoded(since)),
            None => String::new(),
        };
        let path = format!("/_matrix/client/v3/sync?timeout=0{since}");
        let seen = client.must(&world.bob.ask("GET", &path));
        others.since_of_bob = Some(seen["next_batch"].as_str().expect("a token").to_owned());
        let events = seen["to_device"]["events"].as_array().cloned().unwrap_or_default();
        if events.is_empty() {
            break;
        }
        let numbers = events.iter().map(|event| event["content"]["n"].as_u64().expect("a number"));
        others.seen_by_bob.extend(numbers);
    }
    let seen = &others.seen_by_bob;
    assert!(seen.windows(2).all(|two| two[0] < two[1]), "out of order or twice: {seen:?}");
    let lost: Vec<_> = others.to_device.iter().filter(|n| !seen.contains(n)).collect();
    assert_eq!(lost, Vec::<&u64>::new(), "to-device messages are gone");
    // The same once more must not send one again.
    if let Some(last) = others.to_device.last() {
        let path = format!("/_matrix/client/v3/sendToDevice/org.example.count/d{last}");
        let content =
            json!({ "messages": { &world.bob.id: { &world.bob.device: { "n": last } } } });
        client.must(&world.alice.ask("PUT", &path).json(&content));
    }
}
