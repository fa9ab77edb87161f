//! Coming and going.

use anyhow::Context;
use blaupause_clients::{Person, scenario, until};
use matrix_sdk::{RoomState, ruma::events::room::member::MembershipState};

use crate::{
    accounts::kind,
    rooms::{room, talk},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_says_who_and_where() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        alice.client.account().set_display_name(Some("Alice A.")).await?;
        let id = room(&[&alice], true).await?;
        let here = alice.open(&id).await?;
        here.room.invite_user_by_id(&bob.id()).await?;
        let invited = bob.room(&id, RoomState::Invited).await?;
        let details = invited.invite_details().await?;
        assert_eq!(details.inviter_id, alice.id());
        assert_eq!(details.invitee.user_id(), bob.id());
        let inviter = details.inviter.context("who invites")?;
        assert_eq!(inviter.display_name(), Some("Alice A."));
        assert_eq!(invited.name().as_deref(), Some("the meeting"));
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_accepts_and_leaves_is_seen_coming_and_going() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, false).await?;
        there.room.leave().await?;
        bob.room(there.room.room_id(), RoomState::Left).await?;
        until("alice sees bob gone", async || {
            let member = here.room.get_member_no_sync(&bob.id()).await.ok()??;
            (*member.membership() == MembershipState::Leave).then_some(())
        })
        .await?;
        until("alice counts one member", async || {
            (here.room.joined_members_count() == 1).then_some(())
        })
        .await?;
        let refused = there.room.join().await;
        assert_eq!(kind(&refused.err().context("the room is private")?), "M_FORBIDDEN");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_invitation_is_gone_on_all_devices() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let phone = Person::new(server, "bob").await?;
        let laptop = Person::sign_in(server, "bob").await?;
        let id = room(&[&alice], false).await?;
        alice.open(&id).await?.room.invite_user_by_id(&phone.id()).await?;
        let invited = phone.room(&id, RoomState::Invited).await?;
        laptop.room(&id, RoomState::Invited).await?;
        invited.leave().await?;
        phone.room(&id, RoomState::Left).await?;
        laptop.room(&id, RoomState::Left).await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_banned_member_is_out_until_unbanned() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, false).await?;
        let id = there.room.room_id().to_owned();
        here.room.ban_user(&bob.id(), Some("a test")).await?;
        bob.room(&id, RoomState::Banned).await?;
        let refused = here.room.invite_user_by_id(&bob.id()).await;
        assert_eq!(kind(&refused.err().context("bob is banned")?), "M_FORBIDDEN");
        here.room.unban_user(&bob.id(), None).await?;
        here.room.invite_user_by_id(&bob.id()).await?;
        bob.accept(&id).await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_left_room_can_be_forgotten() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (_here, there) = talk(&alice, &bob, false).await?;
        let refused = there.room.forget().await;
        assert!(refused.is_err(), "forgot a joined room");
        there.room.leave().await?;
        bob.room(there.room.room_id(), RoomState::Left).await?;
        there.room.forget().await?;
        assert!(bob.client.get_room(there.room.room_id()).is_none());
        Ok(())
    })
    .await;
}
