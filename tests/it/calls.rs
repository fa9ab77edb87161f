//! What Element Call relies on: who is gone leaves the call, whatever happens to the server.

use serde_json::{Value, json};

use crate::{
    http::{Client, encoded},
    people::{self, Person},
    server::{Server, open_to_everybody},
};

const MEMBER: &str = "org.matrix.msc3401.call.member";
/// Long enough that the server is killed before, short enough to wait for.
const DELAY_MS: u64 = 1_500;
/// Answers of /sync that a test looks at; one waits 30 seconds at most.
const LOOKS_MAX: usize = 20;

struct Call {
    room: String,
    key: String,
}

impl Call {
    fn path(&self) -> String {
        let (room, key) = (encoded(&self.room), encoded(&self.key));
        format!("/_matrix/client/v3/rooms/{room}/state/{MEMBER}/{key}")
    }

    /// As Element Call does: the leave is scheduled before the join is said.
    fn enter(&self, client: &mut Client, person: &Person) -> String {
        let delayed = format!("{}?org.matrix.msc4140.delay={DELAY_MS}", self.path());
        let made = client.must(&person.ask("PUT", &delayed).json(&json!({})));
        let member = json!({ "application": "m.call", "call_id": "", "scope": "m.room" });
        client.must(&person.ask("PUT", &self.path()).json(&member));
        made["delay_id"].as_str().expect("a delay").to_owned()
    }

    /// Wait until the person has left the call.
    fn wait_for_leave(&self, client: &mut Client, watcher: &Person) {
        let mut since = String::new();
        for _ in 0..LOOKS_MAX {
            let state = client.must(&watcher.ask("GET", &self.path()));
            if state == json!({}) {
                return;
            }
            let path = format!("/_matrix/client/v3/sync?timeout=30000{since}");
            let answer = client.must(&watcher.ask("GET", &path));
            since = format!("&since={}", answer["next_batch"].as_str().expect("a token"));
        }
        panic!("the person is still in the call");
    }

    fn leaves(&self, client: &mut Client, watcher: &Person) -> usize {
        let room = encoded(&self.room);
        let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=100");
        let page = client.must(&watcher.ask("GET", &path));
        let events = page["chunk"].as_array().expect("a chunk").iter();
        let is_leave = |event: &&Value| event["type"] == MEMBER && event["content"] == json!({});
        events.filter(is_leave).count()
    }
}

#[test]
fn a_delayed_leave_is_sent_once_although_the_server_was_killed() {
    let (_folder, config) = open_to_everybody("");
    let mut server = Server::start(&config);
    let mut client = server.client();
    let alice = people::register(&mut client, "alice");
    let bob = people::register(&mut client, "bob");
    let room = alice.create_room(&mut client, &json!({ "preset": "public_chat" }));
    let join = format!("/_matrix/client/v3/rooms/{}/join", encoded(&room));
    client.must(&bob.ask("POST", &join).json(&json!({})));
    let call = Call { room, key: format!("_{}_{}_m.call", alice.id, alice.device) };
    let delay = call.enter(&mut client, &alice);
    let delayed = format!("/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delay}");
    client.must(&alice.ask("POST", &format!("{delayed}/restart")));
    server.kill();
    // Twice: what was sent is not sent again.
    for _ in 0..2 {
        server = Server::start(&config);
        client = server.client();
        call.wait_for_leave(&mut client, &bob);
        assert_eq!(call.leaves(&mut client, &bob), 1);
        let ended = client.must(&alice.ask("GET", &delayed));
        assert!(ended["event_id"].is_string(), "{ended}");
        assert_eq!(server.complaints(), Vec::<String>::new());
        server.kill();
    }
}
