//! A server that nobody allows: it gets nothing, it brings nothing, and nobody even speaks to it.

use serde_json::{Value, json};

use super::{
    network::{A, B, C, Network, STRANGER, Site, is_so, until},
    room::Room,
};
use crate::{
    http::{Answer, Ask, encoded},
    people::Person,
};

const CONTENT: &[u8] = b"only for friends";

/// What one person may want of somebody on another server, and of a room that is there.
struct Wish<'a> {
    me: &'a Site,
    other: &'a Site,
    /// Public, and the other one is in it.
    room: &'a Room,
    /// Of the other one.
    media: &'a str,
}

impl Wish<'_> {
    fn ask(&self, ask: &Ask) -> Answer {
        self.me.client().ask(ask).expect("an answer")
    }

    fn join(&self) -> Answer {
        self.ask(&self.room.join_ask(&self.me.person, self.other.name))
    }

    fn invite(&self, to: &Room) -> Answer {
        let ask = self.me.person.ask("POST", &to.path("invite"));
        self.ask(&ask.json(&json!({ "user_id": self.other.person.id })))
    }

    fn profile(&self) -> Answer {
        let path = format!("/_matrix/client/v3/profile/{}", encoded(&self.other.person.id));
        self.ask(&self.me.person.ask("GET", &path))
    }

    fn directory(&self) -> Answer {
        let path = format!("/_matrix/client/v3/publicRooms?server={}", self.other.name);
        self.ask(&self.me.person.ask("GET", &path))
    }

    fn media(&self) -> Answer {
        let (server, id) = (self.other.name, self.media);
        let path = format!("/_matrix/client/v1/media/download/{server}/{id}");
        self.ask(&self.me.person.ask("GET", &path))
    }

    /// Whether the other server answered for its devices.
    fn gets_keys(&self) -> bool {
        let ask = self.me.person.ask("POST", "/_matrix/client/v3/keys/query");
        let wanted = json!({ "device_keys": { &self.other.person.id: [] } });
        let answer = self.ask(&ask.json(&wanted));
        assert_eq!(answer.status, 200, "{}", answer.shown());
        answer.json()["failures"].get(self.other.name).is_none()
    }

    fn all_fails(&self, own_room: &Room) {
        for (what, answer) in [
            ("join", self.join()),
            ("invite", self.invite(own_room)),
            ("profile", self.profile()),
            ("directory", self.directory()),
            ("media", self.media()),
        ] {
            let is_refusal = (400..500).contains(&answer.status);
            assert!(is_refusal, "{what} by {}: {}", self.me.name, answer.shown());
        }
        assert!(!self.gets_keys(), "{}", self.me.name);
    }

    fn all_works(&self, own_room: &Room) {
        for (what, answer) in [
            ("join", self.join()),
            ("invite", self.invite(own_room)),
            ("profile", self.profile()),
            ("media", self.media()),
        ] {
            assert_eq!(answer.status, 200, "{what} by {}: {}", self.me.name, answer.shown());
        }
        assert_eq!(self.media().body, CONTENT);
        assert!(self.gets_keys(), "{}", self.me.name);
    }
}

fn own_room(site: &Site) -> Room {
    let wanted = json!({ "preset": "public_chat", "visibility": "public" });
    Room { id: site.person.create_room(&mut site.client(), &wanted) }
}

fn upload(site: &Site) -> String {
    site.person.upload(&mut site.client(), "text/plain", CONTENT)
}

/// What a person who asks for news at this moment is invited to.
fn invitations(site: &Site, person: &Person) -> Vec<String> {
    let answer = site.client().must(&person.ask("GET", "/_matrix/client/v3/sync"));
    let rooms = answer["rooms"]["invite"].as_object().cloned().unwrap_or_default();
    rooms.into_iter().map(|(room, _)| room).collect()
}

/// As a server would ask; the signature is no matter where nobody looks at it.
fn as_server(origin: &str, destination: &str, ask: Ask) -> Ask {
    let signature = "A".repeat(86);
    let header = format!(
        "X-Matrix origin=\"{origin}\",destination=\"{destination}\",key=\"ed25519:1\",\
         sig=\"{signature}\""
    );
    ask.header("authorization", header)
}

/// Everything that servers ask each other for.
fn questions(room: &Room, user: &str, media: &str) -> Vec<Ask> {
    let (room, user) = (encoded(&room.id), encoded(user));
    let event = encoded("$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let stranger = encoded("@xaver:fremd.example");
    let get = [
        format!("v1/state/{room}?event_id={event}"),
        format!("v1/state_ids/{room}?event_id={event}"),
        format!("v1/event/{event}"),
        format!("v1/event_auth/{room}/{event}"),
        format!("v1/backfill/{room}?v={event}&limit=10"),
        format!("v1/make_join/{room}/{stranger}?ver=12"),
        format!("v1/make_knock/{room}/{stranger}?ver=12"),
        format!("v1/make_leave/{room}/{stranger}"),
        format!("v1/hierarchy/{room}"),
        format!("v1/timestamp_to_event/{room}?ts=0&dir=f"),
        "v1/publicRooms".to_owned(),
        format!("v1/query/profile?user_id={user}"),
        format!("v1/query/directory?room_alias={}", encoded("#lage:bund.example")),
        format!("v1/user/devices/{user}"),
        format!("v1/media/download/{media}"),
    ];
    let post = [
        (
            format!("v1/get_missing_events/{room}"),
            json!({ "earliest_events": [], "latest_events": [] }),
        ),
        ("v1/user/keys/query".to_owned(), json!({ "device_keys": {} })),
        ("v1/user/keys/claim".to_owned(), json!({ "one_time_keys": {} })),
    ];
    let transaction = json!({ "origin": "fremd.example", "origin_server_ts": 1, "pdus": [] });
    let put = [
        ("v1/send/1".to_owned(), transaction),
        (format!("v2/send_join/{room}/{event}"), json!({})),
        (format!("v2/send_leave/{room}/{event}"), json!({})),
        (format!("v1/send_knock/{room}/{event}"), json!({})),
        (format!("v2/invite/{room}/{event}"), json!({})),
    ];
    let path = |rest: &str| format!("/_matrix/federation/{rest}");
    let with =
        |method: &str, (rest, body): &(String, Value)| Ask::new(method, path(rest)).json(body);
    let get = get.iter().map(|rest| Ask::new("GET", path(rest)));
    let post = post.iter().map(|ask| with("POST", ask));
    get.chain(post).chain(put.iter().map(|ask| with("PUT", ask))).collect()
}

#[test]
fn a_server_that_nobody_allows_neither_gets_nor_brings_anything() {
    let network = Network::with_stranger();
    let [anna, xaver] = [A, STRANGER].map(|at| &network.sites[at]);
    let (room, strange_room) = (own_room(anna), own_room(xaver));
    let (media, strange_media) = (upload(anna), upload(xaver));
    let inwards = Wish { me: xaver, other: anna, room: &room, media: &media };
    inwards.all_fails(&strange_room);
    let outwards = Wish { me: anna, other: xaver, room: &strange_room, media: &strange_media };
    outwards.all_fails(&room);
    assert_eq!(invitations(anna, &anna.person), Vec::<String>::new());

    let mut client = anna.client();
    for ask in questions(&room, &anna.person.id, &media) {
        let what = String::from_utf8_lossy(&ask.target).into_owned();
        let answer = client.ask(&as_server(xaver.name, anna.name, ask.clone())).expect("an answer");
        assert_eq!(answer.status, 403, "{what}: {}", answer.shown());
        // Whoever calls itself a friend is asked for the friend's signature.
        let name = network.sites[B].name;
        let answer = client.ask(&as_server(name, anna.name, ask.clone())).expect("an answer");
        assert_eq!(answer.status, 401, "{what}: {}", answer.shown());
        let answer = client.ask(&ask).expect("an answer");
        assert_eq!(answer.status, 401, "{what}: {}", answer.shown());
    }
    // Not a word was spoken to it.
    for from in [A, B, C] {
        let link = network.link(from, STRANGER);
        assert_eq!((link.connected(), link.refused()), (0, 0));
    }
    assert!(network.link(STRANGER, A).connected() > 0, "it did try");
    network.is_content();
}

#[test]
fn a_server_that_is_allowed_after_the_start_is_let_in_and_out() {
    const NOT_TAKEN: &str = "a server does not take a transaction";
    let network = Network::with_stranger();
    let room = own_room(&network.sites[A]);
    let [anna, xaver] = [A, STRANGER].map(|at| &network.sites[at]);
    let (strange_room, media, strange_media) = (own_room(xaver), upload(anna), upload(xaver));
    let inwards = Wish { me: xaver, other: anna, room: &room, media: &media };
    let outwards = Wish { me: anna, other: xaver, room: &strange_room, media: &strange_media };
    inwards.all_fails(&strange_room);
    for at in [A, B, C] {
        network.allow(at, &[xaver.name]);
    }
    inwards.all_works(&strange_room);
    until("the invitation", || is_so(invitations(anna, &anna.person) == [strange_room.id.clone()]));
    let other_room = own_room(anna);
    outwards.all_works(&other_room);
    until("the invitation", || is_so(invitations(xaver, &xaver.person) == [other_room.id.clone()]));
    for at in [B, C] {
        room.join(&network.sites[at], &network.sites[at].person, anna.name);
    }
    // Who has not heard of a join yet does not tell the newcomer what it says.
    room.looks_the_same(&network);
    let say = |site: &Site, text: &str| room.say(site, &mut site.client(), text);
    let mut sent: std::collections::BTreeSet<_> =
        network.sites.iter().map(|site| say(site, site.name)).collect();
    room.has_everywhere(&network, &sent);
    room.looks_the_same(&network);

    // Shut out again.
    let before = xaver.server().said(NOT_TAKEN);
    for at in [A, B, C] {
        network.allow(at, &[]);
    }
    let event = say(xaver, "shut out");
    until("it is not taken anywhere", || is_so(xaver.server().said(NOT_TAKEN) >= before + 3));
    for site in &network.sites[..STRANGER] {
        let found = room.messages(site, &mut site.client());
        assert!(found.iter().all(|(id, _)| *id != event), "{}", site.name);
    }
    // What it could not bring is brought when it may.
    for at in [A, B, C] {
        network.allow(at, &[xaver.name]);
    }
    sent.insert(event);
    sent.insert(say(anna, "welcome back"));
    room.has_everywhere(&network, &sent);
    room.looks_the_same(&network);
    network.is_content();
}
