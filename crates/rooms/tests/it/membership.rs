use blaupause_data::{Member, rows::MemberRow};
use blaupause_graph::Refusal;
use blaupause_rooms::{ChangeMembership, MembershipAction as Action, Preset, RoomsError};
use blaupause_testkit::TestServer;
use ruma::{RoomId, RoomVersionId};
use serde_json::json;

fn forbidden(done: &Result<(), RoomsError>) -> bool {
    matches!(
        done,
        Err(RoomsError::Forbidden(_)
            | RoomsError::NotJoined
            | RoomsError::Refused(Refusal::NotAllowed(_)))
    )
}

#[tokio::test]
async fn joining_follows_the_join_rule() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let open = server.public_room(&alice).await;
    server.join(&bob, &open).await.expect("everybody may");
    let closed = server.private_room(&alice).await;
    assert!(forbidden(&server.join(&bob, &closed).await));
    server.act(&alice, Action::Invite, &bob, &closed).await.expect("invited");
    server.join(&bob, &closed).await.expect("the invited may");
    let unknown = RoomId::parse("!nosuch:example.org").expect("a room id");
    assert!(matches!(server.join(&bob, &unknown).await, Err(RoomsError::RoomUnknown)));
}

#[tokio::test]
async fn the_matrix_of_memberships_holds() {
    use Member::{Ban, Invite, Join, Leave};
    let server = TestServer::new().await;
    let alice = server.user("alice");
    // Bob is (or never was) something, the admin acts: what becomes of him?
    let table = [
        (None, Action::Invite, Some(Invite)),
        (None, Action::Kick, None),
        (None, Action::Ban, Some(Ban)),
        (None, Action::Unban, None),
        (Some(Invite), Action::Invite, Some(Invite)),
        (Some(Invite), Action::Kick, Some(Leave)),
        (Some(Invite), Action::Ban, Some(Ban)),
        (Some(Invite), Action::Unban, None),
        (Some(Join), Action::Invite, None),
        (Some(Join), Action::Kick, Some(Leave)),
        (Some(Join), Action::Ban, Some(Ban)),
        (Some(Join), Action::Unban, None),
        (Some(Leave), Action::Invite, Some(Invite)),
        (Some(Leave), Action::Kick, None),
        (Some(Leave), Action::Ban, Some(Ban)),
        (Some(Leave), Action::Unban, None),
        (Some(Ban), Action::Invite, None),
        (Some(Ban), Action::Kick, None),
        (Some(Ban), Action::Ban, Some(Ban)),
        (Some(Ban), Action::Unban, Some(Leave)),
    ];
    for (n, (now, action, then)) in table.into_iter().enumerate() {
        let bob = server.user(&format!("bob{n}"));
        let room = server.public_room(&alice).await;
        match now {
            None => {}
            Some(Invite) => server.act(&alice, Action::Invite, &bob, &room).await.expect("ok"),
            Some(Ban) => server.act(&alice, Action::Ban, &bob, &room).await.expect("ok"),
            Some(_) => server.join(&bob, &room).await.expect("ok"),
        }
        if now == Some(Leave) {
            server.leave(&bob, &room).await.expect("ok");
        }
        let done = server.act(&alice, action, &bob, &room).await;
        match then {
            Some(then) => {
                done.expect("allowed");
                assert_eq!(server.membership(&bob, &room).await, Some(then), "{now:?} {action:?}");
            }
            None => {
                assert!(forbidden(&done), "{now:?} {action:?}: {done:?}");
                assert_eq!(server.membership(&bob, &room).await, now);
            }
        }
        // Whatever happened, the room and the person agree.
        let part = server.data.parts().room(&room);
        let rows = server.data.list::<MemberRow>(part, &(), 10).await.expect("reads").rows;
        let in_room = rows.iter().find(|(_, row)| row.user_id == bob).map(|((m, _), _)| *m);
        let as_user = server.membership(&bob, &room).await.map(|member| member as u8);
        assert_eq!(in_room, as_user);
    }
}

#[tokio::test]
async fn people_without_power_act_on_nobody() {
    let server = TestServer::new().await;
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let room = server.public_room(&alice).await;
    for action in [Action::Kick, Action::Ban, Action::Unban, Action::Invite] {
        assert!(forbidden(&server.act(&bob, action, &alice, &room).await), "{action:?}");
    }
    server.join(&bob, &room).await.expect("joined");
    server.join(&carol, &room).await.expect("joined");
    for action in [Action::Kick, Action::Ban] {
        for target in [&alice, &carol] {
            assert!(forbidden(&server.act(&bob, action, target, &room).await), "{action:?}");
        }
    }
    let dave = server.user("dave");
    assert!(forbidden(&server.act(&bob, Action::Invite, &dave, &room).await));
}

#[tokio::test]
async fn leaving_and_refusing_an_invitation() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.private_room(&alice).await;
    assert!(matches!(server.leave(&bob, &room).await, Err(RoomsError::NotJoined)));
    server.act(&alice, Action::Invite, &bob, &room).await.expect("invited");
    server.leave(&bob, &room).await.expect("refused");
    let row = server.data.membership(&bob, &room).await.expect("reads").expect("known");
    assert_eq!((row.membership, row.was_joined), (Member::Leave, false));
    server.leave(&bob, &room).await.expect("leaving twice is leaving");
    server.act(&alice, Action::Ban, &bob, &room).await.expect("banned");
    assert!(forbidden(&server.leave(&bob, &room).await), "nobody leaves a ban");
    let head = server.rooms.head(&room).await.expect("reads").expect("known");
    assert_eq!((head.joined, head.invited), (1, 0));
}

#[tokio::test]
async fn joining_twice_makes_one_event() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.public_room(&alice).await;
    server.join(&bob, &room).await.expect("joined");
    let count = server.timeline(&room).await.len();
    server.join(&bob, &room).await.expect("still joined");
    assert_eq!(server.timeline(&room).await.len(), count);
}

#[tokio::test]
async fn knocking_needs_a_room_that_can_be_knocked_at() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    for version in [RoomVersionId::V6, RoomVersionId::V7, RoomVersionId::V12] {
        let room = server.room(&alice, Preset::Private, Some(version.clone())).await;
        let knock = ChangeMembership::own(room.clone(), bob.clone(), Action::Knock)
            .because(Some("please".to_owned()));
        assert!(forbidden(&server.rooms.change_membership(&knock).await));
        let rule = json!({ "join_rule": "knock" });
        server.set(&alice, &room, "m.room.join_rules", "", rule).await.expect("set");
        let done = server.rooms.change_membership(&knock).await;
        if version == RoomVersionId::V6 {
            assert!(forbidden(&done));
            continue;
        }
        done.expect("knocked");
        let row = server.data.membership(&bob, &room).await.expect("reads").expect("known");
        assert_eq!(row.membership, Member::Knock);
        assert!(row.stripped.iter().any(|event| event.contains("m.room.create")));
        let content = server.state(&room, "m.room.member", bob.as_str()).await.expect("set");
        assert_eq!(content["reason"], "please");
        server.act(&alice, Action::Invite, &bob, &room).await.expect("let in");
        server.join(&bob, &room).await.expect("invited");
    }
}

#[tokio::test]
async fn only_left_rooms_are_forgotten() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.public_room(&alice).await;
    server.rooms.forget(&bob, &room).await.expect("nothing to forget");
    server.join(&bob, &room).await.expect("joined");
    let still = server.rooms.forget(&bob, &room).await;
    assert!(matches!(still, Err(RoomsError::StillInRoom)));
    server.leave(&bob, &room).await.expect("left");
    let before = server.data.membership(&bob, &room).await.expect("reads").expect("known");
    server.rooms.forget(&bob, &room).await.expect("forgotten");
    server.rooms.forget(&bob, &room).await.expect("twice is once");
    let row = server.data.membership(&bob, &room).await.expect("reads").expect("known");
    assert!(row.forgotten);
    assert_eq!(row.entered_at(), before.pos, "the leave was when it was");
    server.join(&bob, &room).await.expect("joined again");
    let row = server.data.membership(&bob, &room).await.expect("reads").expect("known");
    assert!(!row.forgotten && row.was_joined);
}

#[tokio::test]
async fn a_change_of_name_is_no_new_beginning() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let joined = server.data.membership(&alice, &room).await.expect("reads").expect("known");
    let name = json!({ "membership": "join", "displayname": "Al" });
    server.set(&alice, &room, "m.room.member", alice.as_str(), name).await.expect("set");
    let renamed = server.data.membership(&alice, &room).await.expect("reads").expect("known");
    assert!(renamed.pos > joined.pos);
    assert_eq!(renamed.entered_at(), joined.entered_at());
    let members = server.data.members(&room, Member::Join).await.expect("reads");
    assert_eq!(members[0].display_name.as_deref(), Some("Al"));
}

#[tokio::test]
async fn guests_come_in_only_where_guests_are_admitted() {
    let server = TestServer::new().await;
    let (alice, guest) = (server.user("alice"), server.user("guest"));
    let room = server.public_room(&alice).await;
    let mut join = ChangeMembership::own(room.clone(), guest, Action::Join);
    join.as_guest = true;
    assert!(forbidden(&server.rooms.change_membership(&join).await));
    let access = json!({ "guest_access": "can_join" });
    server.set(&alice, &room, "m.room.guest_access", "", access).await.expect("set");
    server.rooms.change_membership(&join).await.expect("admitted");
}

#[tokio::test]
async fn who_takes_no_invitations_gets_none() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let bob = server.account("bob").await;
    let room = server.private_room(&alice).await;
    let config = blaupause_testkit::raw(&json!({ "default_action": "block" }));
    let kind = "m.invite_permission_config";
    server.accounts.set_account_data(&bob, None, kind, &config).await.expect("set");
    let done = server.act(&alice, Action::Invite, &bob, &room).await;
    assert!(matches!(done, Err(RoomsError::InviteBlocked(user)) if user == bob));
    assert_eq!(server.membership(&bob, &room).await, None);
}
