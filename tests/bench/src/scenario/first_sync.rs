//! What a client waits for after signing in: the first /sync, and sliding sync's first answer.

use std::time::{Duration, Instant};

use anyhow::Result;
use http::Method;
use serde_json::{Value, json};

use crate::{
    Wanted,
    client::{Client, encoded},
    numbers::{ms, quantile, rounded},
    people::{self, Person},
    report::{Line, Span, line},
    target::Target,
};

/// Where sliding sync is asked for.
pub const SLIDING: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0";

const NAME: &str = "first-sync";
/// Members of each room besides the user.
const OTHERS: usize = 5;
/// How often each is asked; the median counts.
const REPEATS: usize = 7;

pub async fn run(wanted: &Wanted, target: &Target) -> Result<Vec<Line>> {
    let mut people = people::register(&target.url, OTHERS + 1).await?;
    let user = people.remove(0);
    let clients = people.iter().map(|person| person.client(&target.url)).collect();
    fill_rooms(wanted, target, &people, &user, clients).await?;
    let mut client = user.client(&target.url);
    let rooms = wanted.rooms;
    let mut lines = Vec::new();

    let path = format!("/_matrix/client/v3/sync?timeout=0&filter={}", lazy());
    let what = format!("/sync, {rooms} rooms, lazy members, limit 20");
    lines.extend(measure(target, &mut client, &what, Method::GET, &path, None).await?);

    let what = format!("/sync, {rooms} rooms, no filter");
    let path = "/_matrix/client/v3/sync?timeout=0";
    lines.extend(measure(target, &mut client, &what, Method::GET, path, None).await?);

    for (what, end, limit) in [
        ("sliding sync, first 20 rooms, 1 message".to_owned(), 19, 1),
        (format!("sliding sync, all {rooms} rooms, 1 message"), rooms.max(1) - 1, 1),
        (format!("sliding sync, all {rooms} rooms, 20 messages"), rooms.max(1) - 1, 20),
    ] {
        let body = sliding(end, limit);
        let asked = measure(target, &mut client, &what, Method::POST, SLIDING, Some(&body));
        lines.extend(asked.await?);
    }
    Ok(lines)
}

/// Element Web's filter, for a path.
pub fn lazy() -> String {
    let lazy =
        json!({ "room": { "state": { "lazy_load_members": true }, "timeline": { "limit": 20 } } });
    encoded(&lazy.to_string())
}

/// Like Element X's room list.
pub fn sliding(end: usize, limit: usize) -> Value {
    let state = json!([
        ["m.room.name", ""],
        ["m.room.encryption", ""],
        ["m.room.member", "$LAZY"],
        ["m.room.member", "$ME"],
        ["m.room.topic", ""],
        ["m.room.avatar", ""],
        ["m.room.canonical_alias", ""],
        ["m.room.power_levels", ""],
        ["m.room.create", ""],
        ["m.room.join_rules", ""],
        ["m.room.tombstone", ""],
        ["m.room.history_visibility", ""],
    ]);
    json!({
        "lists": { "all": { "ranges": [[0, end]], "timeline_limit": limit, "required_state": state } },
        "extensions": {
            "e2ee": { "enabled": true }, "to_device": { "enabled": true },
            "account_data": { "enabled": true }, "receipts": { "enabled": true },
            "typing": { "enabled": true },
        },
    })
}

async fn fill_rooms(
    wanted: &Wanted,
    target: &Target,
    people: &[Person],
    user: &Person,
    clients: Vec<Client>,
) -> Result<()> {
    let (people, url) = (people.to_vec(), target.url.clone());
    let (user, messages) = (user.clone(), wanted.room_messages);
    people::in_parallel(clients, (0..wanted.rooms).collect(), async move |maker, number| {
        let room = people::create_room(maker).await?;
        people::join(&mut user.client(&url), &room).await?;
        let mut members: Vec<Client> = people.iter().map(|one| one.client(&url)).collect();
        for member in &mut members {
            // Joining twice is allowed: the maker is one of them.
            people::join(member, &room).await?;
        }
        let count = members.len().max(1);
        for message in 0..messages {
            let text = format!("message {message} in room {number}, about as long as people write");
            people::send(
                &mut members[message % count],
                &room,
                &format!("m{number}x{message}"),
                &text,
            )
            .await?;
        }
        Ok(())
    })
    .await?;
    Ok(())
}

async fn measure(
    target: &Target,
    client: &mut Client,
    what: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Vec<Line>> {
    let mut times: Vec<Duration> = Vec::new();
    let mut bytes = 0;
    let span = Span::start(target)?;
    for _ in 0..REPEATS {
        let started = Instant::now();
        bytes = client.must(method.clone(), path, body).await?.len();
        times.push(started.elapsed());
    }
    let spent = span.end(target)?;
    let first = times[0];
    let cpu = spent.server.map(|cpu| ms(cpu) / REPEATS as f64).unwrap_or_default();
    let note =
        format!("first {} ms, server CPU {} ms each; limited by CPU", ms(first), rounded(cpu));
    Ok(vec![
        line(NAME, what, ms(quantile(&mut times, 0.5)), "ms").note(note),
        line(NAME, "… its size", rounded(bytes as f64 / 1024.0), "KiB"),
    ])
}
