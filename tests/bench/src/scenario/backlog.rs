//! Another server sends everything that was said during an absence: transactions of 50 events, one
//! after the other, as the specification wants it.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use http::Method;
use serde_json::{Value, json};

use crate::{
    Wanted,
    client::{Client, encoded},
    numbers::{mib, rounded},
    peer::{Authority, Peer, Room},
    people,
    report::{Line, Span, line},
    target::Target,
};

const NAME: &str = "backlog";
const SERVERS: usize = 5;
const MEMBERS: usize = 50;
/// Events of one transaction, at most (server-server API, "Transactions").
const TOGETHER: usize = 50;
/// A server that was told of everything shows it within this.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub async fn run(wanted: &Wanted, target: &Target, authority: &Authority) -> Result<Vec<Line>> {
    let peers = Peer::start(authority, SERVERS).await?;
    let servers: Vec<&Peer> = peers.iter().map(|peer| &**peer).collect();
    let host = &peers[0];
    let people = people::register(&target.url, 1).await?;
    let mut client = people[0].client(&target.url);
    let rooms = (0..wanted.backlog_rooms.max(1))
        .map(|number| Ok(Rc::new(Room::new(&servers, &format!("room{number}"), MEMBERS)?)))
        .collect::<Result<Vec<Rc<Room>>>>()?;
    for room in &rooms {
        host.serve_room(room);
        let (id, via) = (encoded(&room.id), encoded(&host.name));
        let path = format!("/_matrix/client/v3/join/{id}?via={via}&server_name={via}");
        client.must(Method::POST, &path, Some(&json!({}))).await?;
    }
    let mut transactions: Vec<Vec<Value>> = Vec::new();
    for number in 0..wanted.backlog.div_ceil(TOGETHER) {
        let room = &rooms[number % rooms.len()];
        let said = |_| room.message(host, "words that somebody said while nobody was there");
        transactions.push((0..TOGETHER).map(said).collect::<Result<_>>()?);
    }
    let count = transactions.len() * TOGETHER;

    let before = target.usage();
    let span = Span::start(target)?;
    let (mut server, mut refused) = (Client::new(&target.url), 0);
    for pdus in &transactions {
        refused += host.send(&mut server, &target.name, pdus).await?;
    }
    let taken = span.end(target)?;
    for room in &rooms {
        wait_for_last(&mut client, room).await?;
    }
    let shown = span.end(target)?;
    ensure!(refused < count, "everything was refused");

    let rate = |time: Duration| rounded(count as f64 / time.as_secs_f64());
    let what = format!("{count} events of {} rooms taken", rooms.len());
    let mut lines = vec![
        line(NAME, &what, rate(taken.time), "/s")
            .note(format!("{refused} of them refused; {}", taken.limit())),
        line(NAME, "judged and shown", rate(shown.time), "/s").note(format!(
            "{:.1} s in all; {}",
            shown.time.as_secs_f64(),
            shown.limit()
        )),
        line(NAME, "CPU of the peer", rounded(shown.own.as_secs_f64()), "s"),
    ];
    if let Some(cpu) = shown.cpu_per(count, 1_000.0) {
        lines.push(line(NAME, "CPU per 1,000 events", cpu, "s"));
    }
    if let Some((before, after)) = before.zip(target.usage()) {
        lines.push(line(NAME, "memory before", mib(before.rss), "MiB"));
        lines.push(line(NAME, "most memory", mib(after.peak), "MiB"));
    }
    Ok(lines)
}

async fn wait_for_last(client: &mut Client, room: &Room) -> Result<()> {
    let (id, last) = (encoded(&room.id), encoded(&room.last()));
    let path = format!("/_matrix/client/v3/rooms/{id}/event/{last}");
    let started = Instant::now();
    while client.ask(Method::GET, &path, None).await?.0 != 200 {
        ensure!(started.elapsed() < PATIENCE, "the last event of {} never came", room.id);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}
