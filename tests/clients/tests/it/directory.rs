//! Public rooms: found, previewed, joined by name.

use anyhow::Context;
use blaupause_clients::{Person, SERVER_NAME, scenario, until};
use matrix_sdk::{
    RoomState,
    room_directory_search::RoomDirectorySearch,
    ruma::{
        OwnedRoomAliasId, OwnedRoomOrAliasId,
        api::client::room::{
            Visibility,
            create_room::v3::{Request, RoomPreset},
        },
    },
};

fn public(name: &str, alias: &str) -> Request {
    let mut request = Request::new();
    request.preset = Some(RoomPreset::PublicChat);
    request.visibility = Visibility::Public;
    request.name = Some(name.to_owned());
    request.room_alias_name = Some(alias.to_owned());
    request.topic = Some(format!("all about {alias}"));
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_room_is_found_previewed_and_joined_by_its_alias() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let gardens = alice.client.create_room(public("City gardens", "gardens")).await?;
        alice.client.create_room(public("Road works", "roads")).await?;

        let mut search = RoomDirectorySearch::new(bob.client.clone());
        search.search(None, 10, None).await?;
        assert_eq!(search.results().0.len(), 2);
        search.search(Some("garden".to_owned()), 10, None).await?;
        let (found, _changes) = search.results();
        let found = found.iter().collect::<Vec<_>>();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].room_id, gardens.room_id());
        assert_eq!(found[0].name.as_deref(), Some("City gardens"));
        assert_eq!(found[0].topic.as_deref(), Some("all about gardens"));
        assert_eq!(found[0].joined_members, 1);

        let alias: OwnedRoomOrAliasId = format!("#gardens:{SERVER_NAME}").try_into()?;
        let preview = bob.client.get_room_preview(&alias, Vec::new()).await?;
        assert_eq!(preview.name.as_deref(), Some("City gardens"));
        assert_eq!(preview.num_joined_members, 1);
        let joined = bob.client.join_room_by_id_or_alias(&alias, &[]).await?;
        assert_eq!(joined.room_id(), gardens.room_id());
        let there = bob.room(gardens.room_id(), RoomState::Joined).await?;
        let known = until("bob's list has the alias", async || there.canonical_alias()).await?;
        assert_eq!(known.as_str(), alias.as_str());
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_directory_comes_in_pages_without_gap_or_double() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        for number in 0..5 {
            alice
                .client
                .create_room(public(&format!("Room {number}"), &format!("r{number}")))
                .await?;
        }
        let mut search = RoomDirectorySearch::new(alice.client.clone());
        search.search(None, 2, None).await?;
        while !search.is_at_last_page() {
            search.next_page().await?;
        }
        let (found, _changes) = search.results();
        let mut names: Vec<_> = found.iter().filter_map(|room| room.name.clone()).collect();
        names.sort();
        assert_eq!(names, ["Room 0", "Room 1", "Room 2", "Room 3", "Room 4"]);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_can_be_taken_once() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let first = alice.client.create_room(public("First", "town-hall")).await?;
        let second = alice.client.create_room(public("Second", "town-hall")).await;
        let error = second.err().context("the alias was given twice")?;
        assert_eq!(crate::accounts::kind(&error), "M_ROOM_IN_USE");
        let alias: OwnedRoomAliasId = format!("#town-hall:{SERVER_NAME}").try_into()?;
        let resolved = alice.client.resolve_room_alias(&alias).await?;
        assert_eq!(resolved.room_id, first.room_id());
        Ok(())
    })
    .await;
}
