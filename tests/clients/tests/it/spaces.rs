//! Spaces as Element X shows them.

use anyhow::{Context, Result};
use blaupause_clients::{Person, scenario, until};
use matrix_sdk::{
    RoomState,
    ruma::{
        OwnedRoomId, RoomId,
        api::client::room::create_room::v3::{CreationContent, Request, RoomPreset},
        events::{
            InitialStateEvent,
            room::join_rules::{AllowRule, JoinRule, Restricted, RoomJoinRulesEventContent},
        },
        room::RoomType,
        serde::Raw,
    },
};
use matrix_sdk_ui::spaces::SpaceService;

/// Make a room or a space and wait until its maker's device has it.
async fn make(
    person: &Person,
    name: &str,
    change: impl FnOnce(&mut Request),
) -> Result<OwnedRoomId> {
    let mut request = Request::new();
    request.name = Some(name.to_owned());
    request.preset = Some(RoomPreset::PublicChat);
    change(&mut request);
    let id = person.client.create_room(request).await.context("create")?.room_id().to_owned();
    let room = person.room(&id, RoomState::Joined).await?;
    until("its state came by sync", async || room.power_levels().await.ok()).await?;
    Ok(id)
}

async fn make_space(person: &Person, name: &str) -> Result<OwnedRoomId> {
    let mut content = CreationContent::new();
    content.room_type = Some(RoomType::Space);
    let content = Raw::new(&content)?;
    make(person, name, |request| request.creation_content = Some(content)).await
}

/// A room that members of the space may join.
async fn make_for_members(person: &Person, space: &RoomId, name: &str) -> Result<OwnedRoomId> {
    let allowed = AllowRule::room_membership(space.to_owned());
    let rule = RoomJoinRulesEventContent::new(JoinRule::Restricted(Restricted::new(vec![allowed])));
    let rule = InitialStateEvent::with_empty_state_key(rule).to_raw_any();
    make(person, name, |request| {
        request.preset = Some(RoomPreset::PrivateChat);
        request.initial_state = vec![rule];
    })
    .await
}

/// The names of the rooms that a space shows somebody.
async fn shown(person: &Person, space: &RoomId) -> Result<Vec<String>> {
    let spaces = SpaceService::new(person.client.clone()).await;
    let list = spaces.space_room_list(space.to_owned()).await;
    list.paginate().await?;
    let mut names: Vec<_> = list.rooms().await.into_iter().map(|room| room.display_name).collect();
    names.sort();
    Ok(names)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_space_see_its_rooms_and_join_them_without_an_invitation() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let space = make_space(&alice, "the ministry").await?;
        let open = make(&alice, "open", |_| ()).await?;
        let members = make_for_members(&alice, &space, "members").await?;
        let secret =
            make(&alice, "secret", |request| request.preset = Some(RoomPreset::PrivateChat))
                .await?;
        let spaces = SpaceService::new(alice.client.clone()).await;
        for child in [&open, &members, &secret] {
            spaces.add_child_to_space(child.clone(), space.clone()).await?;
        }
        assert_eq!(shown(&alice, &space).await?, ["members", "open", "secret"]);

        let refused = bob.client.join_room_by_id(&members).await;
        assert!(refused.is_err(), "joined without being in the space");
        bob.client.join_room_by_id(&space).await?;
        bob.room(&space, RoomState::Joined).await?;
        assert_eq!(shown(&bob, &space).await?, ["members", "open"]);
        bob.client.join_room_by_id(&members).await?;
        bob.room(&members, RoomState::Joined).await?;
        let there = bob.open(&members).await?;
        let here = alice.open(&members).await?;
        here.say("welcome").await?;
        there.sees("welcome").await?;
        let top = SpaceService::new(bob.client.clone()).await;
        until("the space is among bob's", async || {
            let spaces = top.top_level_joined_spaces().await;
            spaces.iter().any(|found| found.room_id == space).then_some(())
        })
        .await
    })
    .await;
}
