//! What goes on when the server is killed.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::{Message, World, random};
use crate::{
    http::{Ask, Client, encoded},
    people,
};

/// One message after the other, until there is no answer any more.
pub fn send_messages(world: &World, mut client: Client, round: usize, sender: usize) {
    for number in 0.. {
        let room = (sender + number) % world.rooms.len();
        let txn = format!("r{round}s{sender}n{number}");
        let asked_at = world.tick();
        let ask = world.alice.message(&world.rooms[room], &txn, &txn);
        let answer = client.ask(&ask);
        let mut message = Message { room, txn, asked_at, answer: None };
        if let Ok(answer) = &answer {
            assert_eq!(answer.status, 200, "{}", answer.shown());
            let event = answer.json()["event_id"].as_str().expect("an event id").to_owned();
            message.answer = Some((world.tick(), event));
            world.acknowledged.fetch_add(1, Ordering::SeqCst);
        }
        world.messages.lock().expect("unpoisoned").push(message);
        if answer.is_err() {
            return;
        }
    }
}

/// Everything else that is written, in turn, until there is no answer any more.
pub fn do_other_things(world: &World, mut client: Client, round: usize) {
    for number in 0.. {
        let done = send_to_device(world, &mut client, round, number)
            .and_then(|()| set_account_data(world, &mut client))
            .and_then(|()| mark_as_read(world, &mut client))
            .and_then(|()| upload(world, &mut client))
            .and_then(|()| register(world, &mut client, round, number));
        if done.is_none() {
            return;
        }
    }
}

/// The answer to something that nothing but the kill can prevent.
fn ask(client: &mut Client, ask: &Ask) -> Option<serde_json::Value> {
    let answer = client.ask(ask).ok()?;
    assert_eq!(answer.status, 200, "{}", answer.shown());
    Some(answer.json())
}

fn send_to_device(world: &World, client: &mut Client, round: usize, number: usize) -> Option<()> {
    let n = (round * 1_000_000 + number) as u64;
    let path = format!("/_matrix/client/v3/sendToDevice/org.example.count/d{n}");
    let content = json!({ "messages": { &world.bob.id: { &world.bob.device: { "n": n } } } });
    ask(client, &world.alice.ask("PUT", &path).json(&content))?;
    world.others.lock().expect("unpoisoned").to_device.push(n);
    Some(())
}

fn set_account_data(world: &World, client: &mut Client) -> Option<()> {
    let n = {
        let mut others = world.others.lock().expect("unpoisoned");
        others.account_data.1 += 1;
        others.account_data.1
    };
    let user = encoded(&world.alice.id);
    let path = format!("/_matrix/client/v3/user/{user}/account_data/org.example.count");
    ask(client, &world.alice.ask("PUT", &path).json(&json!({ "n": n })))?;
    world.others.lock().expect("unpoisoned").account_data.0 = n;
    Some(())
}

fn mark_as_read(world: &World, client: &mut Client) -> Option<()> {
    let event = {
        let messages = world.messages.lock().expect("unpoisoned");
        let answered = |message: &Message| message.answer.clone().filter(|_| message.room == 0);
        messages.iter().rev().find_map(answered)
    };
    // Nothing to read yet.
    let Some((_, event)) = event else { return Some(()) };
    world.others.lock().expect("unpoisoned").receipts.1 = Some(event.clone());
    let (room, id) = (encoded(&world.rooms[0]), encoded(&event));
    let path = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{id}");
    ask(client, &world.alice.ask("POST", &path).json(&json!({})))?;
    world.others.lock().expect("unpoisoned").receipts.0 = Some(event);
    Some(())
}

fn upload(world: &World, client: &mut Client) -> Option<()> {
    let content: Vec<u8> = (0..random(20_000)).map(|at| (at % 251) as u8).collect();
    let ask_for = world.alice.ask("POST", "/_matrix/media/v3/upload");
    let ask_for = ask_for.header("content-type", "application/octet-stream").body(content.clone());
    let made = ask(client, &ask_for)?;
    let uri = made["content_uri"].as_str().expect("an mxc address");
    let id = uri.rsplit('/').next().expect("a media id").to_owned();
    world.others.lock().expect("unpoisoned").uploaded.push((id, content));
    Some(())
}

fn register(world: &World, client: &mut Client, round: usize, number: usize) -> Option<()> {
    let name = format!("user{round}x{number}");
    let mut body = json!({ "username": name, "password": people::PASSWORD });
    let first = client.ask(&Ask::new("POST", "/_matrix/client/v3/register").json(&body)).ok()?;
    assert_eq!(first.status, 401, "{}", first.shown());
    body["auth"] = json!({ "type": "m.login.dummy", "session": first.json()["session"] });
    ask(client, &Ask::new("POST", "/_matrix/client/v3/register").json(&body))?;
    world.others.lock().expect("unpoisoned").registered.push(name);
    Some(())
}
