//! Events, receipts, typing and presence for a service.

use std::ops::Bound;

use blaupause_data::{DataError, Event, Order, ReadSet, StreamPos};
use blaupause_graph::EventNo;
use blaupause_rooms::rows::{Receipt, ReceiptKind, ReceiptLogRow};
use ruma::{OwnedRoomId, RoomId, UserId};
use serde::Serialize;
use serde_json::{json, value::RawValue};

use super::{Gathering, ITEMS_MAX, rooms::RoomsOfBatch};

const MEMBER: &str = "m.room.member";
/// Receipts of one batch: a user has one of each kind.
const RECEIPTS_MAX: u32 = 100;

/// `unsigned` of an event, as far as it is the same for everybody.
#[derive(Serialize, Default)]
struct Unsigned<'a> {
    age: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_content: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_sender: Option<&'a UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacted_because: Option<Box<RawValue>>,
}

impl Gathering<'_> {
    pub(super) async fn event(
        &mut self,
        pos: StreamPos,
        room: &OwnedRoomId,
        no: EventNo,
        rooms: &RoomsOfBatch,
    ) -> Result<(), DataError> {
        let is_all_told = rooms.concern(room);
        if !is_all_told && !rooms.has_targets(room) {
            return Ok(());
        }
        let part = self.services.data().parts().room(room);
        let Some(event) = self.services.data().event(part, no).await? else { return Ok(()) };
        let is_target = event.kind == MEMBER
            && event
                .state_key
                .as_deref()
                .and_then(|key| <&UserId>::try_from(key).ok())
                .is_some_and(|user| rooms.has_target(room, user));
        if !is_all_told && !is_target {
            return Ok(());
        }
        let around = event.stored.replaces.into_iter().chain(event.stored.redacted_by);
        let around: Vec<_> = around.map(|no| (part, no)).collect();
        let mut around = self.services.data().events(&around).await?.into_iter();
        let replaced = event.stored.replaces.and_then(|_| around.next().flatten());
        let redaction = event.stored.redacted_by.and_then(|_| around.next().flatten());
        let now_ms = self.services.data().env().now_millis();
        let json = client_json(now_ms, room, &event, replaced.as_deref(), redaction.as_deref());
        self.told.bytes += json.get().len();
        self.told.events.push(json);
        if self.service.encryption().device_lists && event.kind == MEMBER && is_all_told {
            self.moved_in_room(pos, room, &event, replaced.as_deref(), rooms).await?;
        }
        Ok(())
    }

    /// Receipts that moved in a batch and have not moved since. Private ones only of the service's
    /// own users.
    pub(super) async fn receipts(
        &mut self,
        pos: StreamPos,
        room: &RoomId,
    ) -> Result<(), DataError> {
        // A batch has a line for each kind.
        if !self.told.receipts_of.insert((room.to_owned(), pos)) {
            return Ok(());
        }
        let data = self.services.data();
        let mut want = ReadSet::new();
        let rows = want.range::<ReceiptLogRow>(
            data.parts().room(room),
            Bound::Included(&pos),
            Bound::Included(&pos),
            Order::Forward,
            RECEIPTS_MAX,
        );
        let rows = want.run(data).await?.many(rows)?.rows;
        let receipts = rows.into_iter().map(|(_, row)| row.value);
        let receipts = receipts.filter(|receipt| {
            receipt.kind == ReceiptKind::Read || self.service.has_user(&receipt.user_id)
        });
        let content: Vec<_> = receipts.map(receipt_json).collect();
        for content in content {
            self.ephemeral(&json!({ "type": "m.receipt", "room_id": room, "content": content }));
        }
        Ok(())
    }

    /// Typing and presence that changed since the last look.
    pub(super) async fn passed(&mut self, at: StreamPos) -> Result<(), DataError> {
        let Some(link) = self.services.link(self.service).filter(|_| self.hears_ephemeral()) else {
            return Ok(());
        };
        let passed = link.passed.take();
        for room in passed.typing.iter().take(ITEMS_MAX) {
            if self.interest.has_room(self.services, self.service, room, at).await? {
                let typing = self.services.0.rooms.typing(room);
                let content = json!({ "user_ids": typing });
                self.ephemeral(&json!({ "type": "m.typing", "room_id": room, "content": content }));
            }
        }
        for user in passed.presence.iter().take(ITEMS_MAX) {
            let concerns = self.service.has_user(user)
                || self.interest.shares_room(self.services, self.service, user, at).await?;
            let presence = self.services.0.accounts.presence();
            if let Some(event) = presence.event(user).filter(|_| concerns) {
                let (sender, content) = (event.sender, event.content);
                self.ephemeral(
                    &json!({ "type": "m.presence", "sender": sender, "content": content }),
                );
            }
        }
        Ok(())
    }

    fn ephemeral(&mut self, event: &serde_json::Value) {
        let json = serde_json::value::to_raw_value(event).expect("plain data is JSON");
        self.told.bytes += json.get().len();
        self.told.ephemeral.push(json);
    }
}

fn client_json(
    now_ms: u64,
    room: &OwnedRoomId,
    event: &Event,
    replaced: Option<&Event>,
    redaction: Option<&Event>,
) -> Box<RawValue> {
    let age = |event: &Event| now_ms.saturating_sub(event.origin_server_ts);
    let plain = |event: &Event| event.client_json(Some(room), Some(json!({ "age": age(event) })));
    let unsigned = Unsigned {
        age: age(event),
        prev_content: replaced.map(Event::content),
        prev_sender: replaced.map(|replaced| &*replaced.sender),
        replaces_state: replaced.map(|replaced| replaced.stored.event_id.as_str()),
        redacted_because: redaction.map(plain),
    };
    event.client_json(Some(room), Some(unsigned))
}

fn receipt_json(receipt: Receipt) -> serde_json::Value {
    let kind = match receipt.kind {
        ReceiptKind::Read => "m.read",
        ReceiptKind::Private => "m.read.private",
    };
    let mut entry = json!({ "ts": receipt.ts });
    if let Some(thread) = receipt.thread {
        entry["thread_id"] = thread.into();
    }
    json!({ receipt.event_id.as_str(): { kind: { receipt.user_id.as_str(): entry } } })
}
