//! A room with people of many servers: each message goes to all of them.

use std::{rc::Rc, time::Duration};

use anyhow::{Context, Result};
use http::Method;
use serde_json::json;
use tokio::time::timeout;

use super::messages::{Board, send_all};
use crate::{
    Wanted,
    client::Client,
    numbers::{mib, ms, rounded},
    peer::{Authority, Peer, VERSION},
    people,
    report::{Line, Span, line},
    target::Target,
};

const NAME: &str = "fan-out";
/// People who send, each one message after the other.
const SENDERS: usize = 4;
/// After the last message was sent, everybody has it within this.
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn run(wanted: &Wanted, target: &Target, authority: &Authority) -> Result<Vec<Line>> {
    let peers = Peer::start(authority, wanted.servers).await?;
    let people = people::register(&target.url, SENDERS).await?;
    let mut client = people[0].client(&target.url);
    let room = json!({ "preset": "public_chat", "room_version": VERSION });
    let made = client.json(Method::POST, "/_matrix/client/v3/createRoom", Some(&room)).await?;
    let room = made["room_id"].as_str().context("a room id")?.to_owned();
    for person in &people[1..] {
        people::join(&mut person.client(&target.url), &room).await?;
    }
    let before = target.usage();
    let span = Span::start(target)?;
    for peer in &peers {
        peer.join(&mut Client::new(&target.url), &target.name, &room, "guest").await?;
    }
    let joined = span.end(target)?;
    let mut lines = vec![
        line(NAME, "a server joins", ms(joined.time / wanted.servers.max(1) as u32), "ms")
            .note(format!("{} of them, one after the other; {}", wanted.servers, joined.limit())),
    ];

    let board = Board::of(peers.len());
    let senders = || people.iter().map(|one| one.client(&target.url)).collect();
    send_all(senders(), &room, &board, wanted.fan_out_messages / 10).await?;
    wait(&board, &peers, wanted.fan_out_messages / 10).await?;
    board.forget_times();
    let arrived = count_arrived(&peers);
    let span = Span::start(target)?;
    send_all(senders(), &room, &board, wanted.fan_out_messages).await?;
    let sent = span.end(target)?;
    wait(&board, &peers, wanted.fan_out_messages * 11 / 10).await?;
    let delivered = span.end(target)?;

    let what =
        format!("{} servers, {SENDERS} senders, {} messages", peers.len(), wanted.fan_out_messages);
    let rate = |time: Duration| rounded(wanted.fan_out_messages as f64 / time.as_secs_f64());
    let [half, most] = board.delivery();
    lines.extend([
        line(NAME, &what, rate(sent.time), "/s").note(sent.limit()),
        line(NAME, "delivered everywhere", rate(delivered.time), "/s").note(delivered.limit()),
        line(NAME, "delivery to a server, p50", ms(half), "ms")
            .note("from the beginning of the send until a transaction has it"),
        line(NAME, "delivery to a server, p95", ms(most), "ms"),
        line(NAME, "transactions", (count_arrived(&peers) - arrived) as f64, ""),
        line(NAME, "CPU of the peers and the clients", rounded(delivered.own.as_secs_f64()), "s"),
    ]);
    if let Some(cpu) = delivered.cpu_per(wanted.fan_out_messages, 1_000.0) {
        lines.push(line(NAME, "CPU per 1,000 messages", cpu, "s").note("with all deliveries"));
    }
    if let Some((before, after)) = before.zip(target.usage()) {
        lines.push(line(NAME, "memory before", mib(before.rss), "MiB"));
        lines.push(line(NAME, "memory after", mib(after.rss), "MiB"));
    }
    Ok(lines)
}

fn count_arrived(peers: &[Rc<Peer>]) -> usize {
    peers.iter().map(|peer| peer.arrived.borrow().len()).sum()
}

/// Until every server has every message.
async fn wait(board: &Board, peers: &[Rc<Peer>], messages: usize) -> Result<()> {
    let mut looked_at = vec![0; peers.len()];
    let mut seen = 0;
    let all = async {
        loop {
            for (number, peer) in peers.iter().enumerate() {
                let arrived = peer.arrived.borrow();
                for (at, body) in arrived.iter().skip(looked_at[number]) {
                    board.note_at(*at, number, body);
                }
                looked_at[number] = arrived.len();
            }
            seen = board.seen();
            if seen >= messages * peers.len() {
                return;
            }
            peers[0].progress.notified().await;
        }
    };
    let is_late = timeout(PATIENCE, all).await.is_err();
    anyhow::ensure!(!is_late, "of {} deliveries only {seen} came", messages * peers.len());
    Ok(())
}
