//! Servers that ours has nothing to do with (closed federation).

use blaupause_federation::Settings;
use blaupause_policy::{FederationMode, ServerPattern, ServerPolicy};
use serde_json::json;

use super::{join, membership, public_room, room, shown};
use crate::federation::network::Network;

fn only(names: &[&str]) -> Settings {
    let allow =
        names.iter().map(|name| name.parse::<ServerPattern>().expect("a pattern")).collect();
    let servers = ServerPolicy { mode: FederationMode::Closed, allow, ..ServerPolicy::default() };
    Settings { servers, ..Settings::default() }
}

#[tokio::test]
async fn nothing_goes_to_or_comes_from_servers_that_are_not_on_the_list() {
    let network = Network::new();
    let a = network.server_with("a.example", only(&["b.example"])).await;
    let x = network.server("x.example").await;
    let (alice, mallory) = (a.user("alice").await, x.user("mallory").await);
    let strange = room(
        &mallory,
        json!({
            "preset": "public_chat", "room_alias_name": "strange",
        }),
    )
    .await;
    // Out: join, knock, alias, summary, invitation, a new room with an invitation.
    join(&alice, &strange, "x.example").await.refused(403, "M_FORBIDDEN");
    let knock = format!("/v3/knock/{strange}?via=x.example");
    alice.post(&knock, json!({})).await.refused(403, "M_FORBIDDEN");
    alice.get("/v3/directory/room/%23strange:x.example").await.refused(403, "M_FORBIDDEN");
    alice
        .get(&format!("/v1/room_summary/{strange}?via=x.example"))
        .await
        .refused(403, "M_FORBIDDEN");
    let ours = public_room(&alice).await;
    let invite = json!({ "user_id": mallory.id });
    alice.post(&format!("/v3/rooms/{ours}/invite"), invite).await.refused(403, "M_FORBIDDEN");
    let with = json!({ "invite": [mallory.id] });
    alice.post("/v3/createRoom", with).await.refused(403, "M_FORBIDDEN");
    assert_eq!(network.passed().iter().filter(|one| one.to == "x.example").count(), 0);
    // In: their people neither join nor invite.
    assert_ne!(join(&mallory, &ours, "a.example").await.status.as_u16(), 200);
    let invite = json!({ "user_id": alice.id });
    let answer = mallory.post(&format!("/v3/rooms/{strange}/invite"), invite).await;
    assert_ne!(answer.status.as_u16(), 200);
    assert!(shown(&alice, "invite", &strange).await.is_none());
    assert_eq!(membership(&alice, &ours, &mallory.id).await, "");
}

#[tokio::test]
async fn a_candidate_that_is_not_allowed_is_passed_over() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let b = network.server_with("b.example", only(&["a.example"])).await;
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let room = public_room(&alice).await;
    let path = format!("/v3/join/{room}?via=x.example&via=a.example");
    bob.post(&path, json!({})).await.ok();
    assert_eq!(network.passed().iter().filter(|one| one.to == "x.example").count(), 0);
}

#[tokio::test]
async fn nobody_of_a_closed_federation_joins_a_room_with_strangers_in_it() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let b = network.server_with("b.example", only(&["a.example"])).await;
    let x = network.server("x.example").await;
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let mallory = x.user("mallory").await;
    let room = public_room(&alice).await;
    join(&mallory, &room, "a.example").await.ok();
    let refused = join(&bob, &room, "a.example").await;
    refused.refused(403, "M_FORBIDDEN");
    assert!(refused.body["error"].as_str().expect("a text").contains("x.example"));
    assert!(shown(&bob, "join", &room).await.is_none());
}
