use std::{sync::Arc, time::Instant};

use blaupause_graph::{Bag, EventNo, StateKeyNo, StateRoot, Step, merge, tree};
use ruma::RoomVersionId;
use serde_json::json;

use crate::world::{Branch, World};

const MEMBERS: u32 = 100_000;
/// Further membership events before the fork: people change their names.
const RENAMES: u32 = 200_000;
const CONFLICTED_EACH: u32 = 100;

/// Adds a membership event without asking the rules, which know the outcome.
fn member(world: &mut World, number: u32, last: Option<EventNo>) -> (StateKeyNo, EventNo) {
    let create = world.rules.event_format.allow_room_create_in_auth_events.then_some(EventNo(0));
    let auth: Vec<EventNo> =
        create.into_iter().chain([EventNo(2), EventNo(3)]).chain(last).collect();
    let id = u64::try_from(world.events.len()).expect("small");
    let user = format!("@member{number}:s{}.example", number % 100);
    let mut event = json!({
        "type": "m.room.member", "state_key": user, "sender": user,
        "content": { "membership": "join", "displayname": format!("name {id}") },
        "origin_server_ts": id, "depth": 1, "prev_events": [],
        "auth_events": auth.iter().map(|no| world.pdu(*no).event_id()).collect::<Vec<_>>(),
    });
    event["room_id"] = json!(world.room_id);
    let pdu = blaupause_graph::Pdu::from_stored(
        event.to_string(),
        crate::world::event_id(id),
        &world.rules,
    );
    let no = world.add(pdu.expect("an event"), auth);
    (world.keys[&world.pdu(no).state_name().expect("state")], no)
}

fn write(
    world: &mut World,
    root: StateRoot,
    changes: &[(StateKeyNo, Option<EventNo>)],
) -> StateRoot {
    let step = tree::set(root, changes, world.next_page(), &world.pages).expect("sound");
    let written = step.done().expect("all there");
    world.pages.extend(written.pages);
    written.root
}

#[test]
#[ignore = "a measurement: cargo test --release -p blaupause-graph large -- --ignored --nocapture"]
fn merge_in_a_room_of_100_000_members() {
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let (mut world, start) = World::new(&version, 3);
        let mut last: Vec<EventNo> = Vec::new();
        let mut changes = Vec::new();
        for number in 0..MEMBERS {
            let (key, no) = member(&mut world, number, None);
            last.push(no);
            changes.push((key, Some(no)));
        }
        for at in 0..RENAMES {
            let number = at.wrapping_mul(7_919) % MEMBERS;
            let (key, no) = member(&mut world, number, Some(last[number as usize]));
            last[number as usize] = no;
            changes.push((key, Some(no)));
        }
        let mut trunk = start;
        trunk.root = write(&mut world, trunk.root, &changes);
        let mut branches = [trunk.clone(), trunk];
        for (side, branch) in (0_u32..).zip(&mut branches) {
            fork(&mut world, branch, side, &last);
        }
        measure(&world, &branches.map(|branch| branch.root), &version);
    }
}

/// Renames on both sides, on one a change of power levels and a topic by a moderator.
fn fork(world: &mut World, branch: &mut Branch, side: u32, last: &[EventNo]) {
    let mut changes = Vec::new();
    for at in 0..CONFLICTED_EACH {
        let number = at * 331 + side;
        let (key, no) = member(world, number, Some(last[number as usize]));
        changes.push((key, Some(no)));
    }
    if side == 0 {
        let levels = json!({ "users": { crate::world::user(1): 50, crate::world::user(2): 50 } });
        world.say(branch, 0, "m.room.power_levels", "", &levels, 1 << 40).expect("may");
    }
    world.say(branch, 1, "m.room.topic", "", &json!({ "topic": side }), 1 << 40).expect("may");
    branch.root = write(world, branch.root, &changes);
}

#[expect(clippy::disallowed_methods, reason = "a measured duration")]
fn measure(world: &World, roots: &[StateRoot], version: &RoomVersionId) {
    let graph = Arc::new(world.graph.clone());
    let mut bag = Bag::new();
    let (mut rounds, mut pages, mut events) = (0, 0, 0);
    while let Step::Need(need) =
        merge(roots, world.next_page(), &bag, &world.rules).expect("resolves")
    {
        rounds += 1;
        pages += need.pages.len();
        events += need.events.len();
        for page in need.pages {
            bag.add_page(page, world.pages[&page].clone());
        }
        for no in need.events {
            bag.add_event(no, world.pdu(no).clone());
        }
        for name in need.key_numbers {
            let no = world.keys.get(&name).copied();
            bag.add_key(name.0, name.1, no);
        }
        if need.auth_graph {
            bag.set_auth_graph(graph.clone());
        }
    }
    let mut times: Vec<_> = (0..20)
        .map(|_| {
            let start = Instant::now();
            let step = merge(roots, world.next_page(), &bag, &world.rules).expect("resolves");
            assert!(matches!(step, Step::Done(_)));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!(
        "version {version}: {} state events, {} conflicted keys: {rounds} rounds, {pages} pages, \
         {events} events; merge with all at hand: min {:?}, median {:?}, max {:?}",
        world.events.len(),
        2 * CONFLICTED_EACH + 2,
        times[0],
        times[10],
        times[19],
    );
}
