//! A server with rooms, people who write there, and whatever else wakes clients.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use blaupause_data::Member;
use blaupause_e2ee::{E2ee, Recipients};
use blaupause_notify::Notify;
use blaupause_rooms::Reader;
use blaupause_sync::Sync;
use blaupause_testkit::{TestServer, raw};
use ruma::{
    OwnedDeviceId, OwnedRoomId, OwnedUserId, TransactionId, events::StateEventType, owned_device_id,
};
use serde_json::{Value, json};

use crate::chance::Chance;

/// The device that the test server sends transactions from.
pub const SENDING: &str = "DEVICE";

/// The server, two rooms with the same three members, and a guest who comes and goes.
#[derive(Clone)]
pub struct World {
    pub server: TestServer,
    pub sync: Sync,
    pub e2ee: E2ee,
    pub chance: Chance,
    pub rooms: Arc<[OwnedRoomId; 2]>,
    /// Two who write and one who reads.
    pub people: Arc<[OwnedUserId; 3]>,
    guest: OwnedUserId,
}

impl World {
    /// From here on the store takes its time: `disk` must run.
    pub async fn new(chance: Chance) -> Self {
        let server = TestServer::new().await;
        let federation = server.federation.clone();
        let e2ee = E2ee::new(server.data.clone(), server.accounts.clone(), federation);
        let notify =
            Notify::new(server.data.clone(), server.accounts.clone(), server.rooms.clone());
        let sync = Sync::new(
            server.data.clone(),
            server.accounts.clone(),
            server.rooms.clone(),
            e2ee.clone(),
            notify,
        );
        let [alice, bob, carol, guest] =
            ["alice", "bob", "carol", "guest"].map(|name| server.user(name));
        let rooms = [server.public_room(&alice).await, server.public_room(&bob).await];
        for room in &rooms {
            for user in [&alice, &bob, &carol] {
                let _ = server.join(user, room).await;
            }
        }
        let dice = chance.clone();
        server.store.slow_down(move || dice.below(3) as u32);
        let people = Arc::new([alice, bob, carol]);
        Self { server, sync, e2ee, chance, rooms: Arc::new(rooms), people, guest }
    }

    pub fn room(&self) -> &OwnedRoomId {
        &self.rooms[self.chance.below(2) as usize]
    }

    pub fn reader(&self, user: &OwnedUserId, device: &OwnedDeviceId) -> Reader {
        Reader::new(user.clone(), Some(device.clone()))
    }

    /// Tell of what was written, some time later. Never ends.
    pub async fn disk(&self) {
        let mut idle = Duration::from_millis(1);
        loop {
            if self.server.store.tell_next() {
                idle = Duration::from_millis(1);
                self.chance.dawdle(4).await;
            } else {
                tokio::time::sleep(idle).await;
                idle = (2 * idle).min(Duration::from_secs(1));
            }
        }
    }

    /// Somebody writes some messages, here and there.
    pub async fn write(&self, user: &OwnedUserId, seed: u64) {
        for number in 0..1 + self.chance.below(6) {
            self.pause().await;
            let content = json!({ "msgtype": "m.text", "body": number.to_string() });
            // Every second message without a transaction: then nobody is told of one.
            let txn = format!("{seed}.{number}");
            let txn = number.is_multiple_of(2).then_some(&*txn);
            let room = self.room();
            let sent = self.server.send(user, room, "m.room.message", content, txn).await;
            sent.expect("a member writes");
        }
    }

    /// What else happens, at random.
    pub async fn happen(&self, seed: u64) {
        for number in 0..self.chance.below(8) {
            self.pause().await;
            match self.chance.below(6) {
                0 | 1 => self.rename(seed, number).await,
                2 => self.come_or_go().await,
                3 => self.set_account_data(seed, number).await,
                4 if self.chance.one_in(8) => self.flood(seed).await,
                _ => self.type_something().await,
            }
        }
    }

    async fn pause(&self) {
        if self.chance.one_in(3) {
            tokio::time::sleep(Duration::from_millis(self.chance.below(20))).await;
        }
        self.chance.dawdle(10).await;
    }

    /// Somebody has another name in a room: their own room list is written anew.
    async fn rename(&self, seed: u64, number: u64) {
        let user = &self.people[self.chance.below(3) as usize];
        let content = json!({ "membership": "join", "displayname": format!("{seed}.{number}") });
        let kind = StateEventType::RoomMember.to_string();
        let done = self.server.set(user, self.room(), &kind, user.as_str(), content).await;
        done.expect("everybody has a name");
    }

    async fn come_or_go(&self) {
        let room = self.room();
        let done = match self.server.membership(&self.guest, room).await {
            Some(Member::Join) => self.server.leave(&self.guest, room).await,
            _ => self.server.join(&self.guest, room).await,
        };
        done.expect("the room is public");
    }

    async fn set_account_data(&self, seed: u64, number: u64) {
        let user = &self.people[2];
        let content = raw(&json!({ "n": format!("{seed}.{number}") }));
        let set = self.server.accounts.set_account_data(user, None, "org.example", &content).await;
        set.expect("account data");
    }

    async fn type_something(&self) {
        let user = &self.people[self.chance.below(2) as usize];
        let reader = self.reader(user, &owned_device_id!("DEVICE"));
        let access = self.server.rooms.access(&reader, self.room()).await.expect("a member");
        let timeout = self.chance.one_in(2).then_some(Duration::from_secs(5));
        access.set_typing(timeout).expect("a member types");
    }

    /// More messages for a device than one answer takes: the answer ends early.
    async fn flood(&self, seed: u64) {
        let (sender, user) = (&self.people[0], &self.people[2]);
        for number in 0..110 {
            let content = raw(&json!({}));
            let to = Recipients::Device(owned_device_id!("DEVICE"));
            let messages = BTreeMap::from([(user.clone(), BTreeMap::from([(to, content)]))]);
            let txn = format!("{seed}.{number}");
            let txn = <&TransactionId>::from(&*txn);
            let sent = self.e2ee.send_to_device(sender, None, txn, "m.dummy", &messages).await;
            sent.expect("is queued");
        }
    }

    /// The room's events, oldest first.
    pub async fn truth(&self, room: &OwnedRoomId) -> Vec<String> {
        let events = self.server.timeline(room).await;
        events.iter().map(|event| event.stored.event_id.to_string()).collect()
    }

    /// Only the device that sent an event is told its transaction, wherever the event is told.
    pub fn check_transaction(&self, reader: &Reader, event: &Value) {
        let is_own = event["sender"] == reader.user.as_str()
            && reader.device.as_ref().is_some_and(|device| device == SENDING);
        let body = event["content"]["body"].as_str().and_then(|body| body.parse::<u64>().ok());
        let has_one = body.is_some_and(|number| number.is_multiple_of(2));
        let told = event["unsigned"].get("transaction_id").is_some();
        assert_eq!(told, is_own && has_one, "to {reader:?}: {event}");
    }
}
