//! A room that all servers share, and how it looks on each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::network::{A, Network, Site, until};
use crate::{
    http::{Ask, Client, encoded},
    people::Person,
};

/// More pages than any room of these tests has.
const PAGES_MAX: usize = 100;
/// As many messages as one page may have.
const PAGE: usize = 100;

/// Event id by type and state key.
type State = BTreeMap<(String, String), String>;

pub struct Room {
    pub id: String,
}

impl Room {
    /// Made by the person of the first server, who lets the others set what they like; all joined.
    pub fn shared_by_all(network: &Network) -> Self {
        let everybody = network.sites[1..].iter().map(|site| (site.person.id.clone(), json!(90)));
        let users: Map<String, Value> = everybody.collect();
        let wanted = json!({
            "preset": "public_chat",
            "power_level_content_override": { "users": users },
        });
        let site = &network.sites[A];
        let id = site.person.create_room(&mut site.client(), &wanted);
        let room = Self { id };
        for site in &network.sites[1..] {
            room.join(site, &site.person, network.sites[A].name);
        }
        room.looks_the_same(network);
        room
    }

    pub fn join(&self, site: &Site, person: &Person, via: &str) {
        site.client().must(&self.join_ask(person, via));
    }

    pub fn join_ask(&self, person: &Person, via: &str) -> Ask {
        let path = format!("/_matrix/client/v3/join/{}?via={via}", encoded(&self.id));
        person.ask("POST", &path).json(&json!({}))
    }

    pub fn path(&self, rest: &str) -> String {
        format!("/_matrix/client/v3/rooms/{}/{rest}", encoded(&self.id))
    }

    /// Send something of a server's person; gives the event id.
    pub fn say(&self, site: &Site, client: &mut Client, text: &str) -> String {
        site.person.send(client, &self.id, &encoded(text), text)
    }

    pub fn set(&self, person: &Person, kind: &str, content: &Value) -> Ask {
        person.ask("PUT", &self.path(&format!("state/{kind}/"))).json(content)
    }

    /// The state as a server sees it; `None` while it is not in the room.
    pub fn state(&self, site: &Site) -> Option<State> {
        let answer = site.client().ask(&site.person.ask("GET", &self.path("state"))).ok()?;
        let events = answer.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let entry = |event: &Value| {
            ((text(&event["type"]), text(&event["state_key"])), text(&event["event_id"]))
        };
        Some(events.as_array()?.iter().map(entry).collect())
    }

    /// All servers come to the same state; gives it.
    pub fn looks_the_same(&self, network: &Network) -> State {
        until("the same state everywhere", || {
            let mut states = BTreeMap::new();
            for site in &network.sites {
                states.insert(site.name, self.state(site).ok_or("no state")?);
            }
            let mut different = states.values().skip(1);
            let (_, first) = states.iter().next().ok_or("no server")?;
            match different.all(|state| state == first) {
                true => Ok(first.clone()),
                false => Err(differences(&states)),
            }
        })
    }

    /// Event id and text of all messages, newest first, as a client pages through them.
    pub fn messages(&self, site: &Site, client: &mut Client) -> Vec<(String, String)> {
        self.pages(site, client, "")
    }

    /// The same from and to somewhere.
    fn pages(&self, site: &Site, client: &mut Client, range: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let (mut range, to) = (range.to_owned(), range.split_once("&to=").map(|(_, to)| to));
        for _ in 0..PAGES_MAX {
            let path = self.path(&format!("messages?dir=b&limit={PAGE}{range}"));
            let page = client.must(&site.person.ask("GET", &path));
            found.extend(messages_of(&page["chunk"]));
            let Some(end) = page["end"].as_str() else { return found };
            range = format!("&from={}", encoded(end));
            if let Some(to) = to {
                range.push_str(&format!("&to={to}"));
            }
        }
        panic!("the room has no end");
    }

    /// A server comes to have all of these.
    pub fn arrives(&self, site: &Site, events: &BTreeSet<String>) {
        let mut client = site.client();
        for event in events {
            let ask = site.person.ask("GET", &self.path(&format!("event/{}", encoded(event))));
            until("an event arrives", || {
                let answer = client.ask(&ask).map_err(|error| error.to_string())?;
                if answer.status == 200 { Ok(()) } else { Err(answer.shown()) }
            });
        }
    }

    /// Each server comes to have all of these, no event and no text twice, and no server has
    /// others.
    pub fn has_everywhere(&self, network: &Network, acknowledged: &BTreeSet<String>) {
        until("all messages everywhere", || {
            let mut first: Option<BTreeSet<String>> = None;
            for site in &network.sites {
                let found = self.messages(site, &mut site.client());
                is_once(site, &found);
                let here: BTreeSet<String> = found.into_iter().map(|(id, _)| id).collect();
                let first = first.get_or_insert_with(|| here.clone());
                let absent = acknowledged.difference(&here).count();
                let different = first.symmetric_difference(&here).count();
                if absent + different > 0 {
                    let name = site.name;
                    return Err(format!("{name}: {absent} absent, {different} different"));
                }
            }
            Ok(())
        });
    }

    /// What one person said is read everywhere in the order in which it was said.
    pub fn reads_in_order(&self, network: &Network) {
        for site in &network.sites {
            is_in_order(site, &self.messages(site, &mut site.client()));
        }
    }

    /// Where a person's reading of news stands.
    pub fn position(site: &Site) -> String {
        let answer = site.client().must(&site.person.ask("GET", "/_matrix/client/v3/sync"));
        answer["next_batch"].as_str().expect("a position").to_owned()
    }

    /// Who was not online since then, and comes now, gets all of these, each once: in the news and,
    /// where they leave something out, from the history between.
    pub fn is_told_since(&self, site: &Site, since: &str, events: &BTreeSet<String>) {
        let mut client = site.client();
        let path = format!("/_matrix/client/v3/sync?since={since}");
        let answer = client.must(&site.person.ask("GET", &path));
        let timeline = &answer["rooms"]["join"][&self.id]["timeline"];
        let mut found = messages_of(&timeline["events"]);
        if timeline["limited"] == true {
            let from = encoded(timeline["prev_batch"].as_str().expect("a position"));
            let more = format!("&from={from}&to={}", encoded(since));
            found.extend(self.pages(site, &mut client, &more));
        }
        is_once(site, &found);
        let here: BTreeSet<String> = found.into_iter().map(|(id, _)| id).collect();
        let absent = events.difference(&here).count();
        assert_eq!(absent, 0, "{} is not told {absent} of {}", site.name, events.len());
    }
}

fn messages_of(events: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = events.as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let messages = events.filter(|event| event["type"] == "m.room.message");
    messages.map(|event| (text(&event["event_id"]), text(&event["content"]["body"]))).collect()
}

/// Most texts end with a number: what one person said comes in the order in which it was said. Newest
/// first.
fn is_in_order(site: &Site, found: &[(String, String)]) {
    let mut last: HashMap<&str, u32> = HashMap::new();
    for (_, text) in found {
        let Some((who, number)) = text.rsplit_once(' ') else { continue };
        let Ok(number) = number.parse() else { continue };
        if let Some(later) = last.insert(who, number) {
            assert!(number < later, "{}: {who} said {later} after {number}", site.name);
        }
    }
}

fn is_once(site: &Site, found: &[(String, String)]) {
    let again = twice(found);
    assert!(again.is_empty(), "{} has these more than once: {again:?}", site.name);
}

/// Events and texts that are there more than once.
fn twice(found: &[(String, String)]) -> BTreeSet<&str> {
    let mut seen = BTreeSet::new();
    let all = found.iter().flat_map(|(id, text)| [id.as_str(), text.as_str()]);
    all.filter(|it| !seen.insert(*it)).collect()
}

fn differences(states: &BTreeMap<&str, State>) -> String {
    let keys: BTreeSet<_> = states.values().flat_map(BTreeMap::keys).collect();
    let of = |key: &(String, String)| {
        states.iter().map(|(name, state)| (*name, state.get(key))).collect::<BTreeMap<_, _>>()
    };
    let all = keys.into_iter().map(|key| (key, of(key)));
    let different = all.filter(|(_, ids)| ids.values().collect::<BTreeSet<_>>().len() > 1);
    different.map(|(key, ids)| format!("{key:?}: {ids:?}\n")).collect()
}
