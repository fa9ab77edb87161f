use blaupause_graph::StateRoot;
use proptest::prelude::*;
use ruma::{RoomVersionId, events::StateEventType};

use crate::{
    cases::cases,
    naive,
    world::{Branch, Move, World, moves, user, versions},
};

/// Random rooms in the quick run.
const ROOMS: u32 = 500;
const BRANCHES_MAX: usize = 3;

/// Moves the branches on. Now and then two of them meet, which compares both ways to merge.
fn play(world: &mut World, branches: &mut [Branch], moves: &[Move]) -> Result<(), TestCaseError> {
    for (at, step) in (0_u64..).zip(moves) {
        let on = usize::from(step.branch) % branches.len();
        if step.act >= 250 {
            let other = (on + 1) % branches.len();
            let merged =
                merge_both_ways(world, &[&branches[on].clone(), &branches[other].clone()])?;
            branches[on] = merged;
            continue;
        }
        let (kind, key, content) = step.event(world, &branches[on].state);
        // Servers' clocks differ.
        let time = 5 + at + u64::from(step.time);
        // What the branch does not allow is not sent.
        let _refused = world.say(&mut branches[on], step.user, kind, &key, &content, time);
    }
    Ok(())
}

fn merge_both_ways(world: &mut World, branches: &[&Branch]) -> Result<Branch, TestCaseError> {
    let states: Vec<_> = branches.iter().map(|branch| &branch.state).collect();
    let roots: Vec<StateRoot> = branches.iter().map(|branch| branch.root).collect();
    let naive = naive::merge(world, &states);
    let root = world.merge(&roots);
    prop_assert_eq!(&world.read(root), &naive);
    let mut reversed = roots;
    reversed.reverse();
    let again = world.merge(&reversed);
    prop_assert_eq!(&world.read(again), &naive, "the order of the states matters");
    Ok(Branch { state: naive, root })
}

proptest! {
    #![proptest_config(cases(ROOMS))]

    #[test]
    fn the_reduced_merge_equals_the_full_merge(
        version in versions(),
        joined in 1..6_u8,
        branches in 2..=BRANCHES_MAX,
        trunk in moves(0..8),
        moves in moves(1..60),
    ) {
        let (mut world, start) = World::new(&version, joined);
        let mut branches_now = vec![start];
        play(&mut world, &mut branches_now, &trunk)?;
        let mut branches_now = vec![branches_now.remove(0); branches];
        play(&mut world, &mut branches_now, &moves)?;
        let all: Vec<Branch> = branches_now;
        merge_both_ways(&mut world, &all.iter().collect::<Vec<_>>())?;
    }
}

#[test]
fn a_ban_in_one_branch_beats_a_topic_in_the_other() {
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let (mut world, start) = World::new(&version, 3);
        let (mut left, mut right) = (start.clone(), start);
        let ban = serde_json::json!({ "membership": "ban" });
        let target = user(1);
        world.say(&mut left, 0, "m.room.member", target.as_str(), &ban, 10).expect("may ban");
        let topic = serde_json::json!({ "topic": "late" });
        world.say(&mut right, 1, "m.room.topic", "", &topic, 20).expect("may set the topic");
        let root = world.merge(&[left.root, right.root]);
        assert_eq!(root, left.root, "the result is one of the states, nothing is written");
    }
}

#[test]
fn equal_states_need_nothing() {
    let (mut world, start) = World::new(&RoomVersionId::V12, 3);
    assert_eq!(world.merge(&[]), StateRoot::EMPTY);
    assert_eq!(world.merge(&[start.root]), start.root);
    assert_eq!(world.merge(&[start.root, start.root]), start.root);
    assert_eq!(world.rounds, 3, "each was answered at once");
}

/// User 3 joins, invites user 4 and 4 joins (left); a moderator makes the room invite-only (right).
/// Merged, 3 is out and 4 is in. In a third branch the moderator had lost the power to do so:
/// merged with that, the room is public again, and the join of 3 is back although neither state
/// holds it, because 4's membership rests on it.
#[test]
fn an_event_of_the_auth_difference_brings_back_a_key_that_no_state_has() {
    let join = serde_json::json!({ "membership": "join" });
    let invite = serde_json::json!({ "membership": "invite" });
    let invite_only = serde_json::json!({ "join_rule": "invite" });
    let demoted = serde_json::json!({ "users": { user(0): 100 }, "invite": 0 });
    let (third, fourth) = (user(3), user(4));
    let name = |user: &ruma::UserId| (StateEventType::RoomMember, user.to_string());
    let mut world_and_start = World::new(&RoomVersionId::V11, 2);
    let (world, start) = (&mut world_and_start.0, &world_and_start.1);
    let (mut left, mut right, mut other) = (start.clone(), start.clone(), start.clone());
    world.say(&mut left, 3, "m.room.member", third.as_str(), &join, 20).expect("public");
    world.say(&mut left, 3, "m.room.member", fourth.as_str(), &invite, 21).expect("may invite");
    world.say(&mut left, 4, "m.room.member", fourth.as_str(), &join, 22).expect("invited");
    world.say(&mut right, 1, "m.room.join_rules", "", &invite_only, 30).expect("moderator");
    world.say(&mut other, 0, "m.room.power_levels", "", &demoted, 10).expect("creator");

    let merged = merge_both_ways(world, &[&left, &right]).expect("equal");
    assert!(!merged.state.contains_key(&name(&third)));
    assert!(merged.state.contains_key(&name(&fourth)));
    assert!(!other.state.contains_key(&name(&third)));
    let merged = merge_both_ways(world, &[&merged, &other]).expect("equal");
    assert!(merged.state.contains_key(&name(&third)));
}
