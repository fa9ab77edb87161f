//! Nothing breaks: everybody writes at the same time.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    network::{A, B, C, Network},
    room::Room,
};

/// What each person sends.
const MESSAGES: usize = 20;
/// How often each sets the same piece of state.
const CHANGES: usize = 5;

/// Everybody sends, at the same time; gives the events.
pub fn all_send(network: &Network, room: &Room, count: usize, word: &str) -> BTreeSet<String> {
    std::thread::scope(|scope| {
        let sending = network.sites.iter().map(|site| {
            scope.spawn(move || {
                let mut client = site.client();
                let say =
                    |number| room.say(site, &mut client, &format!("{word} {} {number}", site.name));
                (0..count).map(say).collect::<Vec<_>>()
            })
        });
        let sending: Vec<_> = sending.collect();
        sending.into_iter().flat_map(|sender| sender.join().expect("it sends")).collect()
    })
}

#[test]
fn what_each_of_three_servers_sends_arrives_everywhere_and_once() {
    let network = Network::of_friends();
    let room = Room::shared_by_all(&network);
    let before: Vec<_> = network.sites.iter().map(Room::position).collect();
    let sent = all_send(&network, &room, MESSAGES, "message");
    assert_eq!(sent.len(), MESSAGES * network.sites.len());
    room.has_everywhere(&network, &sent);
    room.reads_in_order(&network);
    for (site, before) in network.sites.iter().zip(&before) {
        room.is_told_since(site, before, &sent);
    }
    room.looks_the_same(&network);
    network.is_content();
}

/// Everybody sets a topic again and again; the person of the first server takes the power of the
/// second one meanwhile, and the other two throw each other's neighbors out.
fn set_against_each_other(network: &Network, room: &Room, victims: &[(usize, String)]) {
    std::thread::scope(|scope| {
        for site in &network.sites {
            scope.spawn(move || {
                let mut client = site.client();
                for number in 0..CHANGES {
                    let topic = json!({ "topic": format!("{} {number}", site.name) });
                    // Who lost the power meanwhile is refused: any answer is one.
                    client.ask(&room.set(&site.person, "m.room.topic", &topic)).expect("an answer");
                }
            });
        }
        for (by, victim) in victims {
            let site = &network.sites[*by];
            scope.spawn(move || {
                let ban = site.person.ask("POST", &room.path("ban"));
                let ban = ban.json(&json!({ "user_id": victim }));
                site.client().ask(&ban).expect("an answer")
            });
        }
        let site = &network.sites[A];
        scope.spawn(move || {
            let mut client = site.client();
            let path = room.path("state/m.room.power_levels/");
            let mut levels = client.must(&site.person.ask("GET", &path));
            levels["users"][&network.sites[B].person.id] = json!(0);
            client.must(&site.person.ask("PUT", &path).json(&levels));
        });
        let site = &network.sites[C];
        scope.spawn(move || {
            let mut client = site.client();
            let path = room.path("state/m.room.power_levels/");
            let mut levels = client.must(&site.person.ask("GET", &path));
            levels["events"]["m.room.topic"] = json!(60);
            client.ask(&site.person.ask("PUT", &path).json(&levels)).expect("an answer");
        });
    });
}

/// A room with one more person of the second and of the third server.
fn room_with_victims(network: &Network) -> (Room, Vec<(usize, String)>) {
    let room = Room::shared_by_all(network);
    let victims = [(B, "dora"), (C, "emil")].map(|(at, name)| {
        let person = network.sites[at].register(name);
        room.join(&network.sites[at], &person, network.sites[A].name);
        person.id
    });
    room.looks_the_same(network);
    let [dora, emil] = victims;
    (room, vec![(C, dora), (B, emil)])
}

/// After this the room has one tip.
fn join_the_branches(network: &Network, room: &Room) {
    for at in [A, C] {
        let site = &network.sites[at];
        let event = room.say(site, &mut site.client(), &format!("done {at}"));
        let event = [event].into();
        network.sites.iter().for_each(|site| room.arrives(site, &event));
    }
}

#[test]
fn state_that_is_set_everywhere_at_once_ends_the_same_everywhere() {
    let network = Network::of_friends();
    let (room, victims) = room_with_victims(&network);
    set_against_each_other(&network, &room, &victims);
    join_the_branches(&network, &room);
    room.looks_the_same(&network);
    network.is_content();
}

#[test]
fn state_that_was_set_while_nobody_heard_the_others_ends_the_same_everywhere() {
    let network = Network::of_friends();
    let (room, victims) = room_with_victims(&network);
    let links = [A, B, C].map(|at| network.between(&[at]));
    links.iter().flatten().for_each(|link| link.cut());
    set_against_each_other(&network, &room, &victims);
    let states: BTreeSet<_> = network.sites.iter().map(|site| room.state(site)).collect();
    assert_eq!(states.len(), network.sites.len(), "they do not disagree");
    links.iter().flatten().for_each(|link| link.heal());
    join_the_branches(&network, &room);
    room.looks_the_same(&network);
    network.is_content();
}
