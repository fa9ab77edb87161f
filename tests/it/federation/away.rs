//! A server that is away for long.

use super::{
    network::{A, B, C, Network},
    room::Room,
};

/// So many events that those that are owed one by one (100 in a room) and those that are asked for
/// one after the other (200) are fewer.
const EVENTS: usize = 300;
/// As many as issue 5 asks for.
const EVENTS_MANY: usize = 1_000;

fn comes_back_after(events: usize) {
    let mut network = Network::of_friends();
    let room = Room::shared_by_all(&network);
    let before = Room::position(&network.sites[C]);
    network.sites[C].kill();
    let network_now = &network;
    let room_now = &room;
    let sent = std::thread::scope(|scope| {
        let sending = [A, B].map(|at| {
            scope.spawn(move || {
                let site = &network_now.sites[at];
                let mut client = site.client();
                let say =
                    |number| room_now.say(site, &mut client, &format!("{} {number}", site.name));
                (0..events / 2).map(say).collect::<Vec<_>>()
            })
        });
        sending.into_iter().flat_map(|sender| sender.join().expect("it sends")).collect()
    });
    network.start(C);
    room.has_everywhere(&network, &sent);
    room.is_told_since(&network.sites[C], &before, &sent);
    room.looks_the_same(&network);
    network.is_content();
}

#[test]
fn a_server_that_was_away_gets_everything_and_once() {
    comes_back_after(EVENTS);
}

#[test]
#[ignore = "takes as long as all others; cargo test -- --ignored"]
fn a_server_that_was_away_for_a_thousand_events_gets_everything_and_once() {
    comes_back_after(EVENTS_MANY);
}
