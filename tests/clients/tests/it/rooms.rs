//! Rooms for the other tests, and what a room is called.

use anyhow::{Context, Result};
use blaupause_clients::{Person, Talk, scenario, until};
use matrix_sdk::{
    media::MediaFormat,
    ruma::{
        OwnedRoomId, RoomId,
        api::client::room::create_room::v3::{Request, RoomPreset},
        events::{InitialStateEvent, room::encryption::RoomEncryptionEventContent},
    },
};

use crate::media::PICTURE;

/// A private room of the first, to which the others are invited and which they have joined.
pub async fn room(people: &[&Person], encrypted: bool) -> Result<OwnedRoomId> {
    let (host, guests) = people.split_first().context("a host")?;
    let mut request = Request::new();
    request.preset = Some(RoomPreset::PrivateChat);
    request.name = Some("the meeting".to_owned());
    request.invite = guests.iter().map(|guest| guest.id()).collect();
    if encrypted {
        let encryption = RoomEncryptionEventContent::with_recommended_defaults();
        request.initial_state =
            vec![InitialStateEvent::with_empty_state_key(encryption).to_raw_any()];
    }
    let id = host.client.create_room(request).await.context("create")?.room_id().to_owned();
    for guest in guests {
        guest.accept(&id).await?;
    }
    Ok(id)
}

pub async fn open(alice: &Person, bob: &Person, id: &RoomId) -> Result<(Talk, Talk)> {
    Ok((alice.open(id).await?, bob.open(id).await?))
}

/// A new room, opened by two people who both see two members.
pub async fn talk(alice: &Person, bob: &Person, encrypted: bool) -> Result<(Talk, Talk)> {
    let talks = open(alice, bob, &room(&[alice, bob], encrypted).await?).await?;
    for talk in [&talks.0, &talks.1] {
        let what = format!("{} sees two members", talk.room.own_user_id());
        until(&what, async || (talk.room.joined_members_count() == 2).then_some(())).await?;
        assert_eq!(talk.room.latest_encryption_state().await?.is_encrypted(), encrypted);
    }
    Ok(talks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_sees_a_new_name_topic_and_avatar() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, false).await?;
        assert_eq!(there.room.name().as_deref(), Some("the meeting"));

        here.room.set_name("the other meeting".to_owned()).await?;
        here.room.set_room_topic("what to do").await?;
        here.room.upload_avatar(&mime::IMAGE_PNG, PICTURE.to_vec(), None).await?;
        until("bob sees the new name and topic", async || {
            let name = there.room.name()?;
            (name == "the other meeting" && there.room.topic()? == "what to do").then_some(())
        })
        .await?;
        until("bob sees an avatar", async || there.room.avatar_url()).await?;
        let avatar = there.room.avatar(MediaFormat::File).await?;
        assert_eq!(avatar.as_deref(), Some(PICTURE));

        here.room.remove_avatar().await?;
        until("bob sees no avatar", async || there.room.avatar_url().is_none().then_some(()))
            .await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_change_the_name_is_refused() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, false).await?;
        let refused = there.room.set_name("bob's room".to_owned()).await;
        let error = refused.err().context("bob has no rights in the room")?;
        assert_eq!(crate::accounts::kind(&error), "M_FORBIDDEN");
        assert_eq!(here.room.name().as_deref(), Some("the meeting"));
        Ok(())
    })
    .await;
}
