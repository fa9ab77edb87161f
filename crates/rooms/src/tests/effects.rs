//! What follows from state events of other servers beyond the state.

use blaupause_data::{Change, StreamPos};
use ruma::RoomVersionId;
use serde_json::json;

use super::world::{Forged, Two};

#[tokio::test]
async fn a_ban_of_another_server_takes_what_was_said() {
    for takes in [true, false] {
        let two = Two::new(RoomVersionId::V11).await;
        let said = two.b.say(&two.bob, &two.room, "spam").await;
        let pdus = vec![two.b.pdu(&two.room, &said).await];
        two.b.deliver(&two.a, pdus).await;
        let mut ban = Forged::message(&two.alice, "");
        (ban.kind, ban.state_key) = ("m.room.member", Some(two.bob.as_str()));
        ban.content = json!({ "membership": "ban", "org.matrix.msc4293.redact_events": takes });
        let ban = two.a.forge(&two.a, &two.room, ban).await;
        two.a.deliver(&two.b, vec![ban.to_raw()]).await;
        two.b.rooms.follow().await.expect("followed");
        let event = two.b.stored(&two.room, &said).await.expect("stored");
        assert_eq!(event.stored.redacted_by.is_some(), takes);
    }
}

#[tokio::test]
async fn a_room_that_another_server_closes_to_guests_is_closed_here() {
    let two = Two::new(RoomVersionId::V11).await;
    for access in ["can_join", "forbidden"] {
        let content = json!({ "guest_access": access });
        let set = two.a.set(&two.alice, &two.room, "m.room.guest_access", "", content).await;
        let pdu = two.a.pdu(&two.room, &set.expect("set")).await;
        two.a.deliver(&two.b, vec![pdu]).await;
    }
    let log = two.b.data.log_after(StreamPos(0), 10_000).await.expect("reads");
    let out = |change: &Change| matches!(change, Change::GuestsOut { room } if *room == two.room);
    assert!(log.iter().any(|(_, change)| out(change)));
}
