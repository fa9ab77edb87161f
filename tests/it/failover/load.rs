//! What goes on while the database is away and comes back.

use std::{net::SocketAddr, sync::atomic::Ordering, time::Duration};

use super::{Seen, get_status, now};
use crate::{
    http::Client,
    program::PATIENCE,
    restart::{Message, World},
};

/// Longest wait that a server may ask for, in seconds.
const RETRY_AFTER_MAX: u64 = 30;

/// One message after the other; one that is refused for the moment or not answered is asked again
/// under the same transaction id, as clients do.
pub fn send_messages(world: &World, seen: &Seen, mut client: Client, sender: usize) {
    for number in 0.. {
        if seen.is_over.load(Ordering::SeqCst) {
            return;
        }
        let room = (sender + number) % world.rooms.len();
        let txn = format!("s{sender}n{number}");
        let asked_at = world.tick();
        let event = send_one(world, seen, &mut client, room, &txn);
        let answer = Some((world.tick(), event));
        let message = Message { room, txn, asked_at, answer };
        world.messages.lock().expect("unpoisoned").push(message);
        seen.acknowledged.lock().expect("unpoisoned").push(now());
        world.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

fn send_one(world: &World, seen: &Seen, client: &mut Client, room: usize, txn: &str) -> String {
    let ask = world.alice.message(&world.rooms[room], txn, txn);
    loop {
        match client.ask(&ask) {
            Ok(answer) if answer.status == 503 => {
                let after = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
                let after = after.unwrap_or_else(|| panic!("no Retry-After: {}", answer.shown()));
                assert!(after <= RETRY_AFTER_MAX, "retry after {after} s");
                *seen.away.lock().expect("unpoisoned") += 1;
                wait(Duration::from_secs(after.clamp(1, 2)));
            }
            Ok(answer) => {
                assert_eq!(answer.status, 200, "{}", answer.shown());
                return answer.json()["event_id"].as_str().expect("an event id").to_owned();
            }
            Err(_) => *seen.unanswered.lock().expect("unpoisoned") += 1,
        }
    }
}

/// Long polls of somebody who reads: they stay, and find everything.
pub fn poll(world: &World, seen: &Seen, mut client: Client) {
    let mut since = String::new();
    while !seen.is_over.load(Ordering::SeqCst) {
        let path = format!("/_matrix/client/v3/sync?timeout=2000{since}");
        let Ok(answer) = client.ask(&world.alice.ask("GET", &path)) else { continue };
        match answer.status {
            200 => {
                let next = answer.json()["next_batch"].as_str().expect("a token").to_owned();
                since = format!("&since={next}");
            }
            503 => wait(Duration::from_secs(1)),
            _ => panic!("a long poll was answered with {}", answer.shown()),
        }
    }
}

/// Wait until the server says that it is ready, or that it is not. Whether it came to that.
pub fn becomes_ready(operators: SocketAddr, wanted: bool) -> bool {
    let started = now();
    while started.elapsed() < PATIENCE {
        let is_ready = get_status(&mut Client::new(operators), "/health/ready") == Some(200);
        if is_ready == wanted {
            return true;
        }
        pause();
    }
    false
}

pub fn pause() {
    wait(Duration::from_millis(50));
}

#[expect(clippy::disallowed_methods, reason = "another program is waited for, outside any runtime")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}
