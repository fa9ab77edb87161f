//! Coming and going.

use anyhow::Context;
use blaupause_clients::{Person, scenario, until};
use matrix_sdk::{RoomState, room::MessagesOptions, ruma::events::room::member::MembershipState};

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
        // The room is known a moment before its members are.
        let details = until("who invites", async || {
            invited.invite_details().await.ok().filter(|details| details.inviter.is_some())
        })
        .await?;
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
        // The library forgets what it declined itself.
        until("the invitation is gone", async || {
            let room = phone.client.get_room(&id);
            room.is_none_or(|room| room.state() == RoomState::Left).then_some(())
        })
        .await?;
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
async fn a_forgotten_room_is_no_longer_readable() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (_here, there) = talk(&alice, &bob, false).await?;
        let refused = there.room.forget().await;
        assert!(refused.is_err(), "forgot a joined room");
        there.room.leave().await?;
        bob.room(there.room.room_id(), RoomState::Left).await?;
        let read = async || there.room.messages(MessagesOptions::backward()).await;
        assert!(!read().await?.chunk.is_empty(), "the past is readable after leaving");
        there.room.forget().await?;
        let refused = read().await;
        assert_eq!(kind(&refused.err().context("the room is forgotten")?), "M_FORBIDDEN");
        Ok(())
    })
    .await;
}
