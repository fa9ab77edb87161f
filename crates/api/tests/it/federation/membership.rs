//! People come, go and are invited across servers.

mod closed;
mod hostile;
mod invite;
mod join;
mod knock;
mod serving;

use serde_json::{Value, json};

use crate::server::{Answer, Client};

/// A new room.
async fn room(of: &Client<'_>, how: Value) -> String {
    let made = of.post("/v3/createRoom", how).await.ok();
    made["room_id"].as_str().expect("an id").to_owned()
}

/// A new room that everybody may join.
async fn public_room(of: &Client<'_>) -> String {
    room(of, json!({ "preset": "public_chat", "name": "Amtsstube" })).await
}

/// Who is in a room, as somebody sees it.
async fn joined(who: &Client<'_>, room: &str) -> Vec<String> {
    let members = who.get(&format!("/v3/rooms/{room}/joined_members")).await.ok();
    let mut members: Vec<String> =
        members["joined"].as_object().expect("members").keys().cloned().collect();
    members.sort();
    members
}

/// Somebody joins through a server.
async fn join(who: &Client<'_>, room: &str, via: &str) -> Answer {
    who.post(&format!("/v3/join/{room}?via={via}"), json!({})).await
}

/// What somebody is to a room, as a member of it sees it.
async fn membership(seen_by: &Client<'_>, room: &str, of: &str) -> String {
    let path = format!("/v3/rooms/{room}/state/m.room.member/{of}");
    let content = seen_by.get(&path).await;
    content.body["membership"].as_str().unwrap_or_default().to_owned()
}

/// A part of what sync shows.
async fn shown(who: &Client<'_>, kind: &str, room: &str) -> Option<Value> {
    let filter = "%7B%22room%22%3A%7B%22include_leave%22%3Atrue%7D%7D";
    let news = who.get(&format!("/v3/sync?timeout=0&filter={filter}")).await.ok();
    news["rooms"][kind].get(room).cloned()
}

/// Stripped state by type.
fn stripped<'a>(room: &'a Value, of: &str, kind: &str) -> Option<&'a Value> {
    let events = room[of]["events"].as_array()?;
    events.iter().find(|event| event["type"] == kind)
}
