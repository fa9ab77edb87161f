//! A server that is away for long.

use super::{
    network::{A, B, C, Network},
    room::Room,
};

/// As many as issue 5 asks for.
const EVENTS: usize = 1_000;

#[test]
fn a_server_that_was_away_for_a_thousand_events_gets_everything_and_once() {
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
                (0..EVENTS / 2).map(say).collect::<Vec<_>>()
            })
        });
        sending.into_iter().flat_map(|sender| sender.join().expect("it sends")).collect()
    });
    network.start(C);
    room.has_everywhere(&network, &sent);
    room.reads_in_order(&network);
    room.is_told_since(&network.sites[C], &before, &sent);
    room.looks_the_same(&network);
    network.is_content();
}
