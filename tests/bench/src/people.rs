//! Users and rooms for a scenario.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use anyhow::{Context, Result};
use http::{Method, Uri};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Client, encoded};

/// Few enough that a server with slow password hashes does not time out.
const AT_ONCE: usize = 8;

/// Somebody with a device.
#[derive(Clone, Debug)]
pub struct Person {
    pub token: String,
}

impl Person {
    pub fn client(&self, url: &Uri) -> Client {
        Client::with_token(url, &self.token)
    }
}

/// Register users, a few at once, each on the connection of its worker.
pub async fn register(url: &Uri, count: usize) -> Result<Vec<Person>> {
    let mut nonce = [0; 4];
    getrandom::fill(&mut nonce).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let nonce = hex::encode(nonce);
    let clients = (0..AT_ONCE).map(|_| Client::new(url)).collect();
    in_parallel(clients, (0..count).collect(), async move |client, number| {
        register_one(client, &format!("bench{nonce}n{number}")).await
    })
    .await
}

async fn register_one(client: &mut Client, name: &str) -> Result<Person> {
    const PATH: &str = "/_matrix/client/v3/register";
    let mut body = json!({ "username": name, "password": "bench password 1" });
    let (status, answer) = client.ask(Method::POST, PATH, Some(&body)).await?;
    let mut answer: Value = serde_json::from_slice(&answer)?;
    if status == 401 {
        body["auth"] = json!({ "type": "m.login.dummy", "session": answer["session"] });
        answer = client.json(Method::POST, PATH, Some(&body)).await?;
    }
    let token = answer["access_token"].as_str();
    let token = token.with_context(|| format!("registration answered {status} {answer}"))?;
    Ok(Person { token: token.to_owned() })
}

/// Do something with every item; each client takes the next one when it is done with the last.
/// The results come in the order of the items.
pub async fn in_parallel<T: 'static, R: 'static>(
    clients: Vec<Client>,
    items: VecDeque<T>,
    work: impl AsyncFn(&mut Client, T) -> Result<R> + 'static,
) -> Result<Vec<R>> {
    let work = Rc::new(work);
    let queue = Rc::new(RefCell::new(items.into_iter().enumerate()));
    let mut workers = JoinSet::new();
    for mut client in clients {
        let (work, queue) = (Rc::clone(&work), Rc::clone(&queue));
        workers.spawn_local(async move {
            let mut done = Vec::new();
            loop {
                // A statement of its own: the borrow must not last over the await.
                let next = queue.borrow_mut().next();
                let Some((at, item)) = next else { return Ok(done) };
                done.push((at, work(&mut client, item).await?));
            }
        });
    }
    let mut all = Vec::new();
    while let Some(done) = workers.join_next().await {
        let done: Result<Vec<(usize, R)>> = done?;
        all.extend(done?);
    }
    all.sort_unstable_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}

/// Make a public room; gives its id.
pub async fn create_room(client: &mut Client) -> Result<String> {
    let wanted = json!({ "preset": "public_chat" });
    let made = client.json(Method::POST, "/_matrix/client/v3/createRoom", Some(&wanted)).await?;
    Ok(made["room_id"].as_str().context("a room id")?.to_owned())
}

pub async fn join(client: &mut Client, room: &str) -> Result<()> {
    let path = format!("/_matrix/client/v3/join/{}", encoded(room));
    client.must(Method::POST, &path, Some(&json!({}))).await?;
    Ok(())
}

pub async fn send(client: &mut Client, room: &str, txn: &str, text: &str) -> Result<()> {
    let room = encoded(room);
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
    let content = json!({ "msgtype": "m.text", "body": text });
    client.must(Method::PUT, &path, Some(&content)).await?;
    Ok(())
}
