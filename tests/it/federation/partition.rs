//! Links break and come back.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    network::{A, B, C, Network, is_so, until},
    room::Room,
    together::all_send,
};

/// What each person sends while the network is divided: more than one transaction has.
const MESSAGES: usize = 60;
/// What each sends before and after a link breaks.
const MESSAGES_EACH: usize = 5;

/// Each server has tried in vain to reach those that it cannot reach.
fn everybody_has_noticed(network: &Network, pairs: &[(usize, usize)]) {
    for (from, to) in pairs {
        until("a link that is cut is noticed", || is_so(network.link(*from, *to).refused() > 0));
    }
}

#[test]
fn both_sides_of_a_divided_network_go_on_and_agree_after_it() {
    let network = Network::of_friends();
    let room = Room::shared_by_all(&network);
    let first = all_send(&network, &room, 1, "before");
    room.has_everywhere(&network, &first);

    let before: Vec<_> = network.sites.iter().map(Room::position).collect();
    let between = network.between(&[A]);
    between.iter().for_each(|link| link.cut());
    let mut sent = all_send(&network, &room, MESSAGES, "divided");
    for site in &network.sites {
        let topic = json!({ "topic": site.name });
        site.client().must(&room.set(&site.person, "m.room.topic", &topic));
    }
    everybody_has_noticed(&network, &[(A, B), (A, C), (B, A), (C, A)]);

    between.iter().for_each(|link| link.heal());
    sent.extend(all_send(&network, &room, 1, "after"));
    room.has_everywhere(&network, &first.union(&sent).cloned().collect());
    room.reads_in_order(&network);
    for (site, before) in network.sites.iter().zip(&before) {
        room.is_told_since(site, before, &sent);
    }
    room.looks_the_same(&network);
    network.is_content();
}

#[test]
fn two_servers_that_cannot_reach_each_other_hear_of_each_other_by_the_third() {
    let network = Network::of_friends();
    let room = Room::shared_by_all(&network);
    for (from, to) in [(A, B), (B, A)] {
        network.link(from, to).cut();
    }
    let mut sent = BTreeSet::new();
    // What the third one sends names the others' events, and it can be asked for them.
    for number in 0..5 {
        for at in [A, B, C] {
            let site = &network.sites[at];
            let event = room.say(site, &mut site.client(), &format!("{} {number}", site.name));
            room.arrives(&network.sites[C], &[event.clone()].into());
            sent.insert(event);
        }
    }
    room.has_everywhere(&network, &sent);
    for (from, to) in [(A, B), (B, A)] {
        assert!(network.link(from, to).refused() > 0);
        network.link(from, to).heal();
    }
    sent.extend(all_send(&network, &room, 1, "after"));
    room.has_everywhere(&network, &sent);
    room.looks_the_same(&network);
    network.is_content();
}

#[test]
fn links_that_break_again_and_again_neither_lose_nor_double() {
    let network = Network::of_friends();
    let room = Room::shared_by_all(&network);
    let mut sent = BTreeSet::new();
    for (number, link) in network.between(&[B]).into_iter().enumerate() {
        let before = link.connected();
        // What is under way breaks off.
        sent.extend(all_send(&network, &room, MESSAGES_EACH, &format!("before {number}")));
        link.cut();
        sent.extend(all_send(&network, &room, MESSAGES_EACH, &format!("after {number}")));
        link.heal();
        until("a link is used again", || is_so(link.connected() > before));
    }
    room.has_everywhere(&network, &sent);
    room.looks_the_same(&network);
    network.is_content();
}
