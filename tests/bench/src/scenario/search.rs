//! Server-side search: a word that stands in few messages, and one that stands in most.

use std::{
    collections::VecDeque,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};

use crate::{
    Wanted,
    client::Client,
    numbers::{ms, quantile, rounded},
    people,
    report::{Line, Span, line},
    target::Target,
};

const NAME: &str = "search";
/// Who writes.
const WRITERS: usize = 16;
/// Stands in one of so many messages.
const RARE_EVERY: usize = 10_000;
/// What messages are made of, besides numbers: as many different words as a busy office uses.
const WORDS: usize = 5_000;
/// Words of a message.
const WORDS_EACH: usize = 10;

pub async fn run(wanted: &Wanted, target: &Target) -> Result<Vec<Line>> {
    ensure!(wanted.search_rooms > 0 && wanted.searches > 0, "at least one room and one search");
    let people = people::register(&target.url, WRITERS).await?;
    let mut rooms = Vec::new();
    for _ in 0..wanted.search_rooms {
        let room = people::create_room(&mut people[0].client(&target.url)).await?;
        for person in &people[1..] {
            people::join(&mut person.client(&target.url), &room).await?;
        }
        rooms.push(room);
    }
    let mut lines = Vec::new();
    let span = Span::start(target)?;
    let writers = people.iter().map(|one| one.client(&target.url)).collect();
    write(writers, Rc::new(rooms), wanted.search_messages).await?;
    let spent = span.end(target)?;
    let per_second = rounded(wanted.search_messages as f64 / spent.time.as_secs_f64());
    let what = format!("{} messages in {} rooms", wanted.search_messages, wanted.search_rooms);
    lines.push(line(NAME, &what, per_second, "/s").note(spent.limit()));

    let mut client = people[0].client(&target.url);
    let rare = wanted.search_messages.div_ceil(RARE_EVERY);
    let everywhere = format!("a rare word, in {rare} messages");
    for (what, term) in [
        (everywhere.as_str(), "Zuwendungsbescheid"),
        ("a word in every message", "Vorgang"),
        ("two words, seldom together", "wort17 wort4711"),
        ("a word in no message", "Quastenflosser"),
    ] {
        lines.extend(measure(wanted, target, &mut client, what, term).await?);
    }
    Ok(lines)
}

async fn write(writers: Vec<Client>, rooms: Rc<Vec<String>>, count: usize) -> Result<()> {
    let numbers: VecDeque<usize> = (0..count).collect();
    people::in_parallel(writers, numbers, async move |writer, number| {
        let room = &rooms[number % rooms.len()];
        people::send(writer, room, &format!("w{number}"), &message(number)).await
    })
    .await?;
    Ok(())
}

/// Always the same text for a number, unlike its neighbors.
fn message(number: usize) -> String {
    let mut text = format!("Vorgang {number}:");
    let mut seed = number as u64;
    for _ in 0..WORDS_EACH {
        // Knuth's linear congruential generator: the words only have to differ.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!(" wort{}", (seed >> 33) as usize % WORDS));
    }
    if number.is_multiple_of(RARE_EVERY) {
        text.push_str(" Zuwendungsbescheid");
    }
    text
}

async fn measure(
    wanted: &Wanted,
    target: &Target,
    client: &mut Client,
    what: &str,
    term: &str,
) -> Result<Vec<Line>> {
    let body = json!({ "search_categories": { "room_events": {
        "search_term": term, "order_by": "recent", "filter": { "limit": 10 },
        "event_context": { "before_limit": 1, "after_limit": 1, "include_profile": true },
    } } });
    let mut times: Vec<Duration> = Vec::new();
    let mut answer = bytes::Bytes::new();
    let span = Span::start(target)?;
    for _ in 0..wanted.searches {
        let started = Instant::now();
        answer = client.must(Method::POST, "/_matrix/client/v3/search", Some(&body)).await?;
        times.push(started.elapsed());
    }
    let spent = span.end(target)?;
    let cpu = spent.server.map(|cpu| rounded(ms(cpu) / wanted.searches as f64)).unwrap_or_default();
    let first = ms(times[0]);
    let answer: Value = serde_json::from_slice(&answer)?;
    let found = answer["search_categories"]["room_events"]["count"].as_u64();
    let found = found.context("a search answers a count")?;
    let note = format!("first {first} ms, server CPU {cpu} ms each, {found} found");
    Ok(vec![
        line(NAME, &format!("{what}, p50"), ms(quantile(&mut times, 0.5)), "ms").note(note),
        line(NAME, "… p95", ms(quantile(&mut times, 0.95)), "ms"),
    ])
}
