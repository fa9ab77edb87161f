//! What every case may refer to: people, rooms, media on one server.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    http::{Client, encoded},
    people::{self, PASSWORD, Person},
    place::Place,
    placeholders::Names,
    server::{Server, create_admin, open_to_everybody},
};

const PNG: &[u8] = include_bytes!("cases/red.png");
const HTML: &[u8] = b"<html><script>alert(1)</script></html>";

/// The server of [`open_to_everybody`] calls itself so.
pub const SERVER_NAME: &str = "example.org";

/// By which the application service `bridge` proves itself. It listens nowhere.
const AS_TOKEN: &str = "as-token-of-the-bridge";
const BRIDGE: &str = r##"
id: bridge
url: null
as_token: as-token-of-the-bridge
hs_token: hs-token-of-the-bridge
sender_localpart: bridge_bot
rate_limited: false
namespaces:
  users: [{ regex: "@bridge_.*", exclusive: true }]
  aliases: [{ regex: "#bridge_.*", exclusive: true }]
"##;

/// A server with people and rooms on it.
pub struct Fixture {
    pub server: Server,
    pub alice: Person,
    pub names: Names,
    next_txn: AtomicU64,
    _folder: Place,
    _registrations: TempDir,
}

impl Fixture {
    /// Start a server whose rooms have this version, and fill it.
    pub fn new(room_version: &str) -> Self {
        let registrations = tempfile::tempdir().expect("a folder");
        std::fs::write(registrations.path().join("bridge.yaml"), BRIDGE).expect("written");
        let more = format!(
            "[rooms]\ndefault_version = \"{room_version}\"\n[app_services]\ndirectory = {:?}\n",
            registrations.path()
        );
        let (folder, config) = open_to_everybody(&more);
        create_admin(&config, "admin", PASSWORD);
        let server = Server::start(&config);
        let mut client = server.client();
        let alice = people::register(&mut client, "alice");
        let mut names = Names::from([
            ("server_name", SERVER_NAME.to_owned()),
            ("peer", "peer.example".to_owned()),
            ("nonce", "n1".to_owned()),
            ("localpart", "alice".to_owned()),
            ("password", PASSWORD.to_owned()),
            ("as_token", AS_TOKEN.to_owned()),
        ]);
        add_people(&mut client, &mut names, &alice);
        add_rooms(&mut client, &mut names, &alice);
        Self {
            server,
            alice,
            names,
            next_txn: AtomicU64::new(0),
            _folder: folder,
            _registrations: registrations,
        }
    }

    /// The names, with a transaction id that was not used before.
    pub fn fresh_names(&self) -> Names {
        let mut names = self.names.clone();
        let txn = self.next_txn.fetch_add(1, Ordering::Relaxed);
        names.insert("txn", format!("t{txn}"));
        names
    }

    pub fn name(&self, name: &str) -> &str {
        &self.names[name]
    }
}

fn add_people(client: &mut Client, names: &mut Names, alice: &Person) {
    let bob = people::register(client, "bob");
    let dead = people::register(client, "dead");
    people::deactivate(client, &dead);
    let guest = people::register_guest(client);
    let admin = people::login(client, "admin", PASSWORD);
    let profile = format!("/_matrix/client/v3/profile/{}/displayname", encoded(&alice.id));
    client.must(&alice.ask("PUT", &profile).json(&json!({ "displayname": "Alice" })));
    for (name, value) in [
        ("token", &alice.token),
        ("user_id", &alice.id),
        ("device_id", &alice.device),
        ("token_b", &bob.token),
        ("user_b", &bob.id),
        ("device_b", &bob.device),
        ("token_dead", &dead.token),
        ("user_dead", &dead.id),
        ("guest_token", &guest.token),
        ("guest_user", &guest.id),
        ("admin_token", &admin.token),
    ] {
        names.insert(name, value.clone());
    }
    let room_b = bob.create_room(client, &json!({ "preset": "private_chat" }));
    names.insert("event_b", bob.send(client, &room_b, "fixture", "bob's own"));
    names.insert("room_b", room_b);
}

fn add_rooms(client: &mut Client, names: &mut Names, alice: &Person) {
    let private = json!({ "preset": "private_chat" });
    let room = alice.create_room(client, &private);
    names.insert("event_id", alice.send(client, &room, "fixture", "hello"));
    names.insert("room_id", room);
    names.insert("room_scratch", alice.create_room(client, &private));
    let alias = format!("pub{}", names["nonce"]);
    let public = json!({ "preset": "public_chat", "room_alias_name": alias });
    names.insert("room_pub", alice.create_room(client, &public));
    names.insert("alias_pub", format!("#{alias}:{SERVER_NAME}"));
    names.insert("media_png", alice.upload(client, "image/png", PNG));
    names.insert("media_html", alice.upload(client, "text/html", HTML));
    let filters = format!("/_matrix/client/v3/user/{}/filter", encoded(&alice.id));
    let filter = client.must(&alice.ask("POST", &filters).json(&json!({})));
    names.insert("filter_id", filter["filter_id"].as_str().expect("a filter id").to_owned());
    let seen = client.must(&alice.ask("GET", "/_matrix/client/v3/sync?timeout=0"));
    names.insert("since", seen["next_batch"].as_str().expect("a token").to_owned());
}
