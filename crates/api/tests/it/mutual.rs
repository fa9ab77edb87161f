//! Rooms that two people share (specification v1.19; proposed as MSC2666).

use http::Method;
use serde_json::json;

use crate::server::{Client, Server};

const STABLE: &str = "/v1/mutual_rooms";
const PROPOSED: &str = "/unstable/uk.half-shot.msc2666/user/mutual_rooms";

async fn room(of: &Client<'_>, with: &[&Client<'_>]) -> String {
    let made = of.post("/v3/createRoom", json!({ "preset": "public_chat" })).await.ok();
    let room = made["room_id"].as_str().expect("an id").to_owned();
    for other in with {
        other.post(&format!("/v3/join/{room}"), json!({})).await.ok();
    }
    room
}

#[tokio::test]
async fn only_rooms_to_which_both_are_joined_are_shared() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let both = room(&alice, &[&bob]).await;
    room(&alice, &[]).await;
    room(&bob, &[]).await;
    let left = room(&alice, &[&bob]).await;
    bob.post(&format!("/v3/rooms/{left}/leave"), json!({})).await.ok();
    let invited = room(&alice, &[]).await;
    let invite = json!({ "user_id": bob.id });
    alice.post(&format!("/v3/rooms/{invited}/invite"), invite).await.ok();
    for (asking, other) in [(&alice, &bob), (&bob, &alice)] {
        let shared = asking.get(&format!("{STABLE}?user_id={}", other.id)).await.ok();
        assert_eq!(shared, json!({ "joined": [both], "count": 1 }));
        let shared = asking.get(&format!("{PROPOSED}?user_id={}", other.id)).await.ok();
        assert_eq!(shared, json!({ "joined": [both] }));
    }
    for nobody in ["@nobody:example.org", "@nobody:elsewhere.example"] {
        let shared = alice.get(&format!("{STABLE}?user_id={nobody}")).await.ok();
        assert_eq!(shared, json!({ "joined": [], "count": 0 }));
    }
    let versions = server.call(Method::GET, "/versions", None, None).await.ok();
    for flag in ["query_mutual_rooms", "query_mutual_rooms.stable"] {
        let flag = format!("uk.half-shot.msc2666.{flag}");
        assert_eq!(versions["unstable_features"][flag], true);
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    for path in [STABLE, PROPOSED] {
        for query in [
            &*format!("user_id={}", alice.id),
            "user_id=bob",
            "user_id=@Bob:example.org",
            "user_id=@bob:example.org&from=garbage",
            "user_id=@bob:example.org&from=",
        ] {
            let answer = alice.get(&format!("{path}?{query}")).await;
            answer.refused(400, "M_INVALID_PARAM");
        }
        alice.get(path).await.refused(400, "M_MISSING_PARAM");
    }
}
