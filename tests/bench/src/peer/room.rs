//! A room that a peer made: nobody but the peer needs to believe it, so it is made quickly.

use std::cell::RefCell;

use anyhow::{Context, Result};
use ruma::{CanonicalJsonObject, CanonicalJsonValue};
use serde_json::{Value, json};

use super::{Peer, VERSION};

/// The text of an event and its id.
pub struct Event {
    pub id: String,
    pub json: String,
    is_state: bool,
}

/// One room and everything that happened in it, in one line without branches.
pub struct Room {
    pub id: String,
    pub creator: String,
    now: RefCell<Now>,
}

struct Now {
    events: Vec<Event>,
    /// The last event, which may have come from another server.
    tip: String,
    depth: u64,
    /// Create event, power levels, join rule, the creator's membership.
    auth: [String; 4],
}

/// First event's time; each later one is said a second after it.
const BEGUN_MS: u64 = 1_760_000_000_000;

impl Room {
    /// A public room whose creator speaks for the first of the servers; members of all of them.
    pub fn new(servers: &[&Peer], name: &str, members: usize) -> Result<Self> {
        let host = servers.first().context("a server that makes the room")?;
        let creator = format!("@creator:{}", host.name);
        let id = format!("!{name}:{}", host.name);
        let auth = [const { String::new() }; 4];
        let now = Now { events: Vec::new(), tip: String::new(), depth: 0, auth };
        let room = Self { id, creator: creator.clone(), now: RefCell::new(now) };
        let state = |kind: &str, key: &str, content: Value| json!({ "type": kind, "state_key": key, "sender": creator, "content": content });
        let create = state("m.room.create", "", json!({ "room_version": VERSION }));
        let create = room.say(host, create, &[] as &[&str])?;
        let joined = state("m.room.member", &creator, json!({ "membership": "join" }));
        let joined = room.say(host, joined, &[&create])?;
        let levels = json!({ "users": { creator.as_str(): 100 } });
        let levels =
            room.say(host, state("m.room.power_levels", "", levels), &[&create, &joined])?;
        let rule = state("m.room.join_rules", "", json!({ "join_rule": "public" }));
        let rule = room.say(host, rule, &[&create, &joined, &levels])?;
        let visible = json!({ "history_visibility": "shared" });
        let visible = state("m.room.history_visibility", "", visible);
        room.say(host, visible, &[&create, &joined, &levels])?;
        room.now.borrow_mut().auth = [create, levels, rule, joined];
        for number in 0..members {
            let server = servers[number % servers.len()];
            let user = format!("@member{number}:{}", server.name);
            let content =
                json!({ "membership": "join", "displayname": format!("Person {number}") });
            let join = json!({
                "type": "m.room.member", "state_key": user, "sender": user, "content": content,
            });
            room.say(server, join, &room.auth_for_joins())?;
        }
        Ok(room)
    }

    fn auth_for_joins(&self) -> Vec<String> {
        self.now.borrow().auth[..3].to_vec()
    }

    /// A message of the creator, whose server is `host`; gives it to whoever sends it.
    pub fn message(&self, host: &Peer, text: &str) -> Result<Value> {
        let content = json!({ "msgtype": "m.text", "body": text });
        let event = json!({ "type": "m.room.message", "sender": self.creator, "content": content });
        let [create, levels, _, joined] = self.now.borrow().auth.clone();
        self.say(host, event, &[&create, &levels, &joined])?;
        let now = self.now.borrow();
        let last = now.events.last().context("it was said")?;
        Ok(serde_json::from_str(&last.json)?)
    }

    /// Sign an event and let it be the last one; gives its id.
    fn say(&self, server: &Peer, event: Value, auth: &[impl AsRef<str>]) -> Result<String> {
        let mut now = self.now.borrow_mut();
        let is_state = event.get("state_key").is_some();
        let mut event = object(event)?;
        self.place(&mut event, &now, auth)?;
        let (id, json) = server.sign_event(event)?;
        now.tip.clone_from(&id);
        now.depth += 1;
        now.events.push(Event { id: id.clone(), json, is_state });
        Ok(id)
    }

    fn place(
        &self,
        event: &mut CanonicalJsonObject,
        now: &Now,
        auth: &[impl AsRef<str>],
    ) -> Result<()> {
        let auth: Vec<&str> = auth.iter().map(AsRef::as_ref).collect();
        let prev: Vec<&str> = [&*now.tip].into_iter().filter(|tip| !tip.is_empty()).collect();
        event.extend(object(json!({
            "room_id": self.id, "auth_events": auth, "prev_events": prev, "depth": now.depth + 1,
            "origin_server_ts": BEGUN_MS + 1_000 * now.depth,
        }))?);
        Ok(())
    }

    /// What `make_join` answers.
    pub fn template(&self, user: &str) -> Result<Value> {
        let mut event = object(json!({
            "type": "m.room.member", "state_key": user, "sender": user,
            "content": { "membership": "join" },
        }))?;
        self.place(&mut event, &self.now.borrow(), &self.auth_for_joins())?;
        Ok(json!({ "room_version": VERSION, "event": event }))
    }

    /// What `send_join` answers; the join becomes the last event.
    pub fn take_join(&self, id: &str, event: &str, host: &str) -> String {
        let state = self.state_before(None);
        let mut now = self.now.borrow_mut();
        id.clone_into(&mut now.tip);
        now.depth += 1;
        format!(
            "{{\"origin\":\"{host}\",\"members_omitted\":false,\"event\":{event},\"state\":[{state}],\
             \"auth_chain\":[{}]}}",
            auth_chain(&now)
        )
    }

    /// State events before an event, or all of them, separated by commas. No key is said twice.
    pub fn state_before(&self, id: Option<&str>) -> String {
        let now = self.now.borrow();
        let upto = id.and_then(|id| now.events.iter().position(|event| event.id == id));
        let before = &now.events[..upto.unwrap_or(now.events.len())];
        let state = before.iter().filter(|event| event.is_state);
        state.map(|event| &*event.json).collect::<Vec<_>>().join(",")
    }

    /// The same, as ids.
    pub fn state_ids_before(&self, id: &str) -> Vec<String> {
        let now = self.now.borrow();
        let upto = now.events.iter().position(|event| event.id == id);
        let before = &now.events[..upto.unwrap_or(now.events.len())];
        before.iter().filter(|event| event.is_state).map(|event| event.id.clone()).collect()
    }

    pub fn auth_chain(&self) -> String {
        auth_chain(&self.now.borrow())
    }

    pub fn auth_ids(&self) -> Vec<String> {
        self.now.borrow().auth.to_vec()
    }

    /// The id of the last event.
    pub fn last(&self) -> String {
        self.now.borrow().tip.clone()
    }

    pub fn event(&self, id: &str) -> Option<String> {
        let now = self.now.borrow();
        now.events.iter().rev().find(|event| event.id == id).map(|event| event.json.clone())
    }

    /// An event and those before it, newest first, separated by commas.
    pub fn back_from(&self, id: &str, limit: usize) -> String {
        let now = self.now.borrow();
        let Some(at) = now.events.iter().rposition(|event| event.id == id) else {
            return String::new();
        };
        let events = now.events[..=at].iter().rev().take(limit);
        events.map(|event| &*event.json).collect::<Vec<_>>().join(",")
    }
}

fn auth_chain(now: &Now) -> String {
    let events = now.events.iter().filter(|event| now.auth.contains(&event.id));
    events.map(|event| &*event.json).collect::<Vec<_>>().join(",")
}

/// Canonical JSON of an object.
pub fn object(value: Value) -> Result<CanonicalJsonObject> {
    match CanonicalJsonValue::try_from(value)? {
        CanonicalJsonValue::Object(object) => Ok(object),
        _ => anyhow::bail!("an object"),
    }
}
