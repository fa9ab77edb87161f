//! A batch is durable some time before anybody is told of it. Who asks in between must not be
//! taken to know what is in it.

use std::{sync::Arc, time::Duration};

use blaupause_rooms::Reader;
use blaupause_store::Store as _;
use blaupause_sync::{SlidingRequest, SyncRequest, SyncToken};
use ruma::{
    api::client::{
        filter::FilterDefinition,
        sync::sync_events::{v3, v5},
    },
    owned_device_id,
    presence::PresenceState,
};

use crate::{chance::Chance, world::World};

async fn v3(world: &World, reader: &Reader, since: Option<&str>) -> v3::Response {
    let request = SyncRequest {
        user: reader.user.clone(),
        device: reader.device.clone(),
        since: since.and_then(SyncToken::parse),
        filter: Arc::new(FilterDefinition::default()),
        full_state: false,
        set_presence: PresenceState::Offline,
        timeout: Duration::ZERO,
        use_state_after: false,
    };
    world.sync.v3(request).await.expect("an answer")
}

async fn sliding(world: &World, reader: &Reader, pos: Option<&str>, limit: u32) -> v5::Response {
    let mut list = v5::request::List::default();
    list.ranges = vec![(0_u32.into(), 20_u32.into())];
    list.room_details.timeline_limit = limit.into();
    let mut body = v5::Request::new();
    body.pos = pos.map(ToOwned::to_owned);
    body.lists.insert("all".to_owned(), list);
    body.extensions.typing.enabled = Some(true);
    let (user, device) = (reader.user.clone(), reader.device.clone());
    world.sync.sliding(SlidingRequest { user, device, body }).await.expect("an answer")
}

/// Alice writes in the first room. When her message is durable and nobody was told of it, something
/// happens in the second room that is worth an answer, and `ask` is run; then it is told of.
async fn while_a_message_becomes_known<T>(world: &World, ask: impl Future<Output = T>) -> T {
    let (server, room) = (&world.server, &world.rooms[0]);
    let [alice, bob, _] = &*world.people;
    let before = server.data.db().position();
    let others = async {
        while server.data.db().position() == before {
            tokio::task::yield_now().await;
        }
        let bob = world.reader(bob, &owned_device_id!("DEVICE"));
        let access = server.rooms.access(&bob, &world.rooms[1]).await.expect("a member");
        access.set_typing(Some(Duration::from_secs(5))).expect("a member types");
        let asked = ask.await;
        assert!(server.store.tell_next());
        asked
    };
    let (sent, asked) = tokio::join!(server.say(alice, room, "hello"), others);
    sent.expect("sent");
    asked
}

#[tokio::test(start_paused = true)]
async fn an_answer_given_while_a_message_becomes_known_does_not_swallow_it() {
    let world = World::new(Chance::new(1)).await;
    let carol = world.reader(&world.people[2], &owned_device_id!("DEVICE"));
    let first = v3(&world, &carol, None).await;
    let ask = v3(&world, &carol, Some(&first.next_batch));
    let meanwhile = while_a_message_becomes_known(&world, ask).await;
    assert_eq!(meanwhile.rooms.join.keys().collect::<Vec<_>>(), [&world.rooms[1]]);
    let next = v3(&world, &carol, Some(&meanwhile.next_batch)).await;
    assert_eq!(next.rooms.join[&world.rooms[0]].timeline.events.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn neither_does_one_of_sliding_sync() {
    let world = World::new(Chance::new(1)).await;
    let carol = world.reader(&world.people[2], &owned_device_id!("DEVICE"));
    let first = sliding(&world, &carol, None, 5).await;
    let ask = sliding(&world, &carol, Some(&first.pos), 5);
    let meanwhile = while_a_message_becomes_known(&world, ask).await;
    assert_eq!((meanwhile.extensions.typing.rooms.len(), meanwhile.rooms.len()), (1, 0));
    let next = sliding(&world, &carol, Some(&meanwhile.pos), 5).await;
    assert_eq!(next.rooms[&world.rooms[0]].timeline.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_wants_no_events_is_told_where_they_are() {
    let world = World::new(Chance::new(1)).await;
    let carol = world.reader(&world.people[2], &owned_device_id!("DEVICE"));
    let first = sliding(&world, &carol, None, 0).await;
    let tokens = first.rooms.values().map(|room| (room.limited, room.prev_batch.is_some()));
    assert_eq!(tokens.collect::<Vec<_>>(), [(true, true); 2]);
    let nothing = std::future::ready(());
    while_a_message_becomes_known(&world, nothing).await;
    let next = sliding(&world, &carol, Some(&first.pos), 0).await;
    let room = &next.rooms[&world.rooms[0]];
    assert!(room.timeline.is_empty() && room.limited && room.prev_batch.is_some());
}
