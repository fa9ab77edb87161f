//! SIGKILL while everybody sends.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::{
    network::{A, B, C, Network, is_so, until},
    room::Room,
};

/// Acknowledged in each round before a server is killed, and after that before it is started.
const MESSAGES_BEFORE: usize = 40;
const MESSAGES_AFTER: usize = 20;

/// Who is killed in each round, on the same data.
const VICTIMS: [usize; 5] = [A, B, A, C, B];

/// What was acknowledged, over all rounds.
#[derive(Default)]
struct Sent {
    events: Mutex<BTreeSet<String>>,
    count: AtomicUsize,
}

impl Sent {
    fn wait_for(&self, more: usize) {
        let wanted = self.count.load(Ordering::SeqCst) + more;
        until("messages are acknowledged", || is_so(self.count.load(Ordering::SeqCst) >= wanted));
    }
}

/// Each person sends until told to end, or until the server is gone.
fn send_until(
    network: &Network,
    room: &Room,
    at: usize,
    round: usize,
    sent: &Sent,
    end: &AtomicBool,
) {
    let site = &network.sites[at];
    let mut client = site.client();
    for number in 0.. {
        if end.load(Ordering::SeqCst) {
            return;
        }
        let text = format!("{} {round} {number}", site.name);
        let ask = site.person.message(&room.id, &format!("{round}-{number}"), &text);
        // Without an answer it may be there or not.
        let Ok(answer) = client.ask(&ask) else { return };
        assert_eq!(answer.status, 200, "{}", answer.shown());
        let event = answer.json()["event_id"].as_str().expect("an event id").to_owned();
        sent.events.lock().expect("unpoisoned").insert(event);
        sent.count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Everybody sends; one server is killed, the others go on.
fn round(network: &mut Network, room: &Room, victim: usize, number: usize, sent: &Sent) {
    let end = AtomicBool::new(false);
    let seen: &Network = network;
    let id = seen.sites[victim].server().id();
    std::thread::scope(|scope| {
        for at in [A, B, C] {
            let end = &end;
            scope.spawn(move || send_until(seen, room, at, number, sent, end));
        }
        sent.wait_for(MESSAGES_BEFORE);
        rustix::process::kill_process(id, rustix::process::Signal::KILL).expect("it runs");
        sent.wait_for(MESSAGES_AFTER);
        end.store(true, Ordering::SeqCst);
    });
    network.sites[victim].kill();
}

#[test]
fn a_server_that_is_killed_while_all_send_loses_and_doubles_nothing() {
    let mut network = Network::of_friends();
    let room = Room::shared_by_all(&network);
    let sent = Sent::default();
    for (number, victim) in VICTIMS.into_iter().enumerate() {
        round(&mut network, &room, victim, number, &sent);
        network.start(victim);
    }
    let events = sent.events.into_inner().expect("unpoisoned");
    room.has_everywhere(&network, &events);
    room.reads_in_order(&network);
    room.looks_the_same(&network);
    network.is_content();
}
