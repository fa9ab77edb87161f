use blaupause_graph::StateRoot;
use proptest::prelude::*;
use ruma::RoomVersionId;

use crate::{
    cases::cases,
    naive,
    world::{Branch, Move, World, moves, versions},
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
            let merged = merge_both_ways(world, &[&branches[on].clone(), &branches[other].clone()])?;
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
        let target = crate::world::user(1);
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
