//! SIGKILL under load: what was answered 200 is there after the restart, in order, once.

mod load;
pub mod proof;

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use serde_json::json;

use crate::{
    http::Client,
    people::{self, Person},
    server::{Server, open_to_everybody},
};

/// How often the server is killed, on the same data.
const ROUNDS: usize = 5;
/// Rooms that are written to at the same time.
const ROOMS: usize = 3;
/// Each sends one message after the other, into one room after the other.
const SENDERS: usize = 6;
/// A round ends when so many messages are acknowledged, and some more by chance.
const MESSAGES_MIN: u64 = 60;
const MESSAGES_MORE_MAX: u64 = 240;

/// Who and what is on the server over all rounds.
pub struct World {
    pub alice: Person,
    pub bob: Person,
    pub rooms: Vec<String>,
    /// Grows with every question and every answer: which was before which.
    clock: AtomicU64,
    pub acknowledged: AtomicU64,
    pub messages: Mutex<Vec<Message>>,
    others: Mutex<Others>,
}

/// A message that a sender tried to send.
#[derive(Clone)]
pub struct Message {
    pub room: usize,
    pub txn: String,
    pub asked_at: u64,
    /// When and with which event id it was answered; without an answer it may be there or not.
    pub answer: Option<(u64, String)>,
}

/// What else was answered 200.
#[derive(Default)]
struct Others {
    /// To-device messages to bob, by their number.
    to_device: Vec<u64>,
    /// The number last stored as account data, and the one tried after it.
    account_data: (u64, u64),
    /// The event last marked as read in room 0, and the one tried after it.
    receipts: (Option<String>, Option<String>),
    registered: Vec<String>,
    /// Media id and content.
    uploaded: Vec<(String, Vec<u8>)>,
    /// To-device messages that bob has seen, over all rounds.
    seen_by_bob: Vec<u64>,
    since_of_bob: Option<String>,
}

impl World {
    pub fn new(server: &Server) -> Self {
        let mut client = server.client();
        let alice = people::register(&mut client, "alice");
        let bob = people::register(&mut client, "bob");
        let public = json!({ "preset": "public_chat" });
        let rooms = (0..ROOMS).map(|_| alice.create_room(&mut client, &public)).collect();
        Self {
            alice,
            bob,
            rooms,
            clock: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            messages: Mutex::default(),
            others: Mutex::default(),
        }
    }

    pub fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }
}

/// Any moment is as good as any other; which one it is, the machine's randomness says.
fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    u64::from_le_bytes(bytes) % below
}

/// Load the server, kill it at a random moment.
fn round(world: &World, server: &mut Server, number: usize) {
    let wanted =
        world.acknowledged.load(Ordering::SeqCst) + MESSAGES_MIN + random(MESSAGES_MORE_MAX);
    let address = server.address;
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            scope.spawn(move || load::send_messages(world, Client::new(address), number, sender));
        }
        scope.spawn(move || load::do_other_things(world, Client::new(address), number));
        while world.acknowledged.load(Ordering::SeqCst) < wanted && server.is_running() {
            std::thread::yield_now();
        }
        // Not always just after an answer: somewhere within the next few writes.
        let until = random(3_000_000);
        for _ in 0..until {
            std::hint::spin_loop();
        }
        assert!(server.is_running(), "it ended by itself: {:?}", server.complaints());
        server.kill();
    });
    assert_eq!(server.complaints(), Vec::<String>::new());
}

#[test]
fn what_was_acknowledged_survives_sigkill_in_order_and_once() {
    let (_folder, config) = open_to_everybody("");
    let mut server = Server::start(&config);
    let world = World::new(&server);
    for number in 0..ROUNDS {
        round(&world, &mut server, number);
        server = Server::start(&config);
        let mut client = server.client();
        proof::messages_are_there_in_order_and_once(&world, &mut client);
        proof::transaction_ids_are_still_known(&world, &mut client, number);
        proof::other_things_are_there(&world, &mut client);
    }
    let sent = world.acknowledged.load(Ordering::SeqCst);
    println!("{sent} messages acknowledged over {ROUNDS} kills, all there");
    assert_eq!(server.complaints(), Vec::<String>::new());
}
