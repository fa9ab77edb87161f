//! Rooms in which state has owners (MSC3757).

use serde_json::{Value, json};

use crate::server::{Answer, Client, Server};

const TYPE: &str = "com.example.test";
const SUFFIX: &str = "_state_key_suffix:!@#$123";

struct World<'a> {
    creator: Client<'a>,
    first: Client<'a>,
    second: Client<'a>,
    room: String,
}

impl<'a> World<'a> {
    async fn new(server: &'a Server, version: &str) -> Self {
        let creator = server.user("creator").await;
        let (first, second) = (server.user("first").await, server.user("second").await);
        let body = json!({
            "room_version": version,
            "preset": "public_chat",
            "power_level_content_override": { "events": { TYPE: 0 } },
        });
        let room = creator.post("/v3/createRoom", body).await.ok();
        let room = room["room_id"].as_str().expect("an id").to_owned();
        for user in [&first, &second] {
            user.post(&format!("/v3/rooms/{room}/join"), json!({})).await.ok();
        }
        Self { creator, first, second, room }
    }

    async fn set(&self, who: &Client<'_>, key: &str) -> Answer {
        let key: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
        let room = &self.room;
        who.put(&format!("/v3/rooms/{room}/state/{TYPE}/{key}"), json!({})).await
    }
}

#[tokio::test]
async fn a_key_with_a_suffix_belongs_to_the_user_it_begins_with_and_to_those_above() {
    for version in ["org.matrix.msc3757.10", "org.matrix.msc3757.11"] {
        let server = Server::new().await;
        let world = World::new(&server, version).await;
        let (creator, first, second) = (&world.creator, &world.first, &world.second);
        world.set(first, &first.id).await.ok();
        world.set(first, &format!("{}{SUFFIX}", first.id)).await.ok();
        world.set(creator, &first.id).await.ok();
        world.set(creator, &format!("{}{SUFFIX}", first.id)).await.ok();
        world.set(creator, "@notinroom:hs2").await.ok();
        for key in [
            second.id.clone(),
            format!("{}{SUFFIX}", second.id),
            format!("{}{}", first.id, &SUFFIX[1..]),
            format!("@prefix_{}{SUFFIX}", first.id),
        ] {
            world.set(first, &key).await.refused(403, "M_FORBIDDEN");
        }
        for key in ["@oops".to_owned(), format!("{}@{}", creator.id, &SUFFIX[1..])] {
            world.set(creator, &key).await.refused(400, "M_BAD_JSON");
        }
    }
}

#[tokio::test]
async fn in_other_versions_such_keys_are_nobodys() {
    let server = Server::new().await;
    let world = World::new(&server, "10").await;
    let (creator, first) = (&world.creator, &world.first);
    world.set(first, &first.id).await.ok();
    for key in [
        format!("{}{SUFFIX}", creator.id),
        first.id.clone(),
        format!("{}{SUFFIX}", first.id),
        "@notinroom:hs2".to_owned(),
        "@oops".to_owned(),
    ] {
        world.set(creator, &key).await.refused(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn the_versions_are_announced_as_unstable() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let capabilities = alice.get("/v3/capabilities").await.ok();
    let available: &Value = &capabilities["capabilities"]["m.room_versions"]["available"];
    assert_eq!(available["org.matrix.msc3757.10"], "unstable");
    assert_eq!(available["org.matrix.msc3757.11"], "unstable");
    assert_eq!(available["12"], "stable");
}
