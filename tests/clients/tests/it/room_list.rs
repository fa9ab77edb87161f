//! The list of rooms, over sliding sync.

use anyhow::{Context, Result};
use blaupause_clients::{PATIENCE, Person, scenario, text};
use futures_util::{Stream, StreamExt as _, pin_mut};
use matrix_sdk::ruma::{OwnedRoomId, api::client::room::create_room::v3::Request};
use matrix_sdk_ui::{
    eyeball_im::{Vector, VectorDiff},
    room_list_service::{RoomListItem, RoomListLoadingState, filters::new_filter_non_left},
};
use tokio::time;

/// What the list shows at the moment.
type Shown = Vector<RoomListItem>;

/// Follow the list until it is as wanted.
async fn list_until(
    changes: &mut (impl Stream<Item = Vec<VectorDiff<RoomListItem>>> + Unpin),
    shown: &mut Shown,
    what: &str,
    wanted: impl Fn(&Shown) -> bool,
) -> Result<()> {
    let follow = async {
        while !wanted(shown) {
            for change in changes.next().await.context("the list ended")? {
                change.apply(shown);
            }
        }
        Ok(())
    };
    let outcome = time::timeout(PATIENCE, follow).await;
    outcome.with_context(|| format!("waited in vain: {what}; the list is {:?}", ids(shown)))?
}

fn ids(shown: &Shown) -> Vec<OwnedRoomId> {
    shown.iter().map(|room| room.room_id().to_owned()).collect()
}

async fn named_room(person: &Person, name: &str) -> Result<OwnedRoomId> {
    let mut request = Request::new();
    request.name = Some(name.to_owned());
    Ok(person.client.create_room(request).await?.room_id().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_shows_all_rooms_and_follows_what_happens() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let mut rooms = Vec::new();
        for number in 0..4 {
            rooms.push(named_room(&alice, &format!("Room {number}")).await?);
        }

        // A new device: everything it shows comes from the server.
        let laptop = Person::sign_in(server, "alice").await?;
        let list = laptop.sync().room_list_service().all_rooms().await?;
        let (changes, controller) = list.entries_with_dynamic_adapters(50);
        pin_mut!(changes);
        controller.set_filter(Box::new(new_filter_non_left()));
        let mut shown = Shown::new();
        list_until(&mut changes, &mut shown, "four rooms", |shown| shown.len() == 4).await?;
        let newest_first: Vec<_> = rooms.iter().rev().cloned().collect();
        list_until(&mut changes, &mut shown, "newest first", |shown| ids(shown) == newest_first)
            .await?;
        list_until(&mut changes, &mut shown, "their names", |shown| {
            shown.iter().all(|room| room.name().is_some_and(|name| name.starts_with("Room ")))
        })
        .await?;

        let oldest = alice.client.get_room(&rooms[0]).context("the first room")?;
        oldest.send(text("up you go")).await?;
        list_until(&mut changes, &mut shown, "the room with the message on top", |shown| {
            shown.front().is_some_and(|room| room.room_id() == rooms[0])
        })
        .await?;

        let invitation = named_room(&bob, "Bob's room").await?;
        let at_bobs = bob.client.get_room(&invitation).context("bob's room")?;
        at_bobs.invite_user_by_id(&alice.id()).await?;
        list_until(&mut changes, &mut shown, "the invitation", |shown| {
            ids(shown).contains(&invitation)
        })
        .await?;

        let left = alice.client.get_room(&rooms[1]).context("the second room")?;
        left.leave().await?;
        list_until(&mut changes, &mut shown, "the left room gone", |shown| {
            !ids(shown).contains(&rooms[1])
        })
        .await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_says_how_many_rooms_there_are() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        // More than the first window of the list, which has 20.
        let count = 23;
        for number in 0..count {
            let made = named_room(&alice, &format!("Room {number}")).await;
            if let Err(error) = made {
                return Err(error.context(format!("room {number}")));
            }
        }
        let laptop = Person::sign_in(server, "alice").await?;
        let list = laptop.sync().room_list_service().all_rooms().await?;
        let mut states = list.loading_state();
        let counted = async {
            loop {
                let state = states.next_now();
                if let RoomListLoadingState::Loaded { maximum_number_of_rooms: Some(number) } =
                    state
                    && number == count
                {
                    return;
                }
                states.next().await;
            }
        };
        time::timeout(PATIENCE, counted).await.context("the number of rooms")?;

        let (changes, controller) = list.entries_with_dynamic_adapters(100);
        pin_mut!(changes);
        controller.set_filter(Box::new(new_filter_non_left()));
        let mut shown = Shown::new();
        list_until(&mut changes, &mut shown, "all rooms", |shown| shown.len() == 23).await
    })
    .await;
}
