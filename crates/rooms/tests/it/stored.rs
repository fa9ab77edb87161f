//! The bytes of this crate's rows.

use blaupause_data::conformance::{Any, Catalogue};
use blaupause_graph::EventNo;
use blaupause_rooms::rows::*;
use ruma::RoomVersionId;

fn receipt(any: &mut Any) -> Receipt {
    Receipt {
        user_id: any.user(),
        kind: any.one_of(&[ReceiptKind::Read, ReceiptKind::Private]),
        event_id: any.event(),
        place: any.place(),
        thread: any.maybe(Any::text),
        ts: any.number(),
    }
}

fn delayed(any: &mut Any) -> Delayed {
    Delayed {
        room_id: any.room(),
        kind: any.text(),
        state_key: any.maybe(Any::text),
        delay_ms: any.number(),
        since_ms: any.number(),
        txn: any.maybe(Any::bytes),
    }
}

fn outside(any: &mut Any) -> Outside {
    Outside {
        room_id: any.room(),
        event_id: any.event(),
        version: any.one_of(&[RoomVersionId::V11, RoomVersionId::V12]),
        via: any.list(Any::server),
        left: any.maybe(|any| EventNo(any.small())),
    }
}

fn ending(any: &mut Any) -> Ending {
    let failed = Outcome::Failed { reason: DelayFailure::TooLarge, text: any.text() };
    let outcomes = [Outcome::Sent(any.event()), Outcome::Cancelled, failed];
    Ending { at_ms: any.number(), outcome: any.one_of(&outcomes) }
}

fn rows() -> Catalogue {
    let no = |any: &mut Any| EventNo(any.small());
    let mut all = Catalogue::new();
    all.row::<TxnRow>(|any| (any.bytes(), any.event()));
    all.row::<SearchPageRow>(|any| {
        (any.small(), SearchPage { upto: any.small(), text: any.text() })
    });
    all.row::<EventTxnRow>(|any| (no(any), EventTxn { device: any.text(), txn: any.text() }));
    all.row::<ThreadReplyRow>(|any| (any.place(), ThreadReply { no: no(any), root: no(any) }));
    all.row::<InboxRow>(|any| {
        let waiting = Waiting { origin: any.server(), pdu: any.text(), since_ms: any.number() };
        ((any.pos(), any.small() as u16), waiting)
    });
    all.row::<InboxRoomRow>(|any| (any.room(), ()));
    all.row::<ToldStrangerRow>(|any| {
        (any.user(), ToldStranger { depth: any.number(), is_joined: any.one_of(&[true, false]) })
    });
    all.row::<PartialRoomRow>(|any| {
        let room = PartialRoom {
            is_whole: any.flag(),
            join: no(any),
            via: any.server(),
            servers: any.list(Any::server),
        };
        (any.room(), room)
    });
    all.row::<PartialEventRow>(|any| ((any.pos(), any.small() as u16), no(any)));
    all.row::<LateRow>(|any| ((any.bytes(), no(any)), ()));
    all.row::<AliasRow>(|any| (any.text(), Alias { room_id: any.room(), creator: any.user() }));
    all.row::<ExpiredRow>(|any| ((), any.place()));
    all.row::<NoticeRoomRow>(|any| ((), any.room()));
    all.row::<RoomAliasRow>(|any| (any.text(), ()));
    all.row::<PublishedRow>(|any| (any.room(), Published { by: any.user() }));
    all.row::<NetworkRoomRow>(|any| ((any.text(), any.text(), any.room()), ()));
    all.row::<RoomListRow>(|any| (any.room(), Created { by: any.user(), at: any.number() }));
    all.row::<ReportRow>(|any| {
        let report = StoredReport {
            reporter: any.user(),
            at: any.number(),
            room: any.maybe(Any::room),
            event: any.maybe(Any::event),
            user: any.maybe(Any::user),
            reason: any.maybe(Any::text),
            score: any.maybe(|any| any.number() as i64),
        };
        (any.pos(), report)
    });
    all.row::<ReceiptRow>(|any| ((any.part(), any.small() as u8, any.text()), receipt(any)));
    all.row::<StickyEventRow>(|any| {
        (any.place(), StickyEvent { no: no(any), until_ms: any.number() })
    });
    all.row::<StickyRoomRow>(|any| (any.room(), any.number()));
    all.row::<DelayedStickyRow>(|any| (any.text(), any.number()));
    all.row::<DelayedRow>(|any| (any.text(), delayed(any)));
    all.row::<DelayedContentRow>(|any| (any.text(), any.text()));
    all.row::<DelayedEndRow>(|any| (any.text(), (delayed(any), ending(any))));
    all.row::<DueRow>(|any| ((any.number(), any.text()), any.user()));
    all.row::<DelayOwnerRow>(|any| (any.text(), any.user()));
    all.row::<DelayTxnRow>(|any| (any.bytes(), any.text()));
    all.row::<EventDelayRow>(|any| (no(any), any.text()));
    all.row::<OutsideRow>(|any| (any.part(), outside(any)));
    all.row::<UntoldLeaveRow>(|any| {
        let leave = UntoldLeave {
            content: any.text(),
            servers: any.list(Any::server),
            since_ms: any.number(),
            next_ms: any.number(),
            tries: any.small(),
        };
        ((any.user(), any.room()), leave)
    });
    all.row::<ReceiptLogRow>(|any| ((any.pos(), any.small() as u8), receipt(any)));
    all
}

#[test]
fn stored_rows_keep_their_bytes() {
    rows().check(env!("CARGO_MANIFEST_DIR"), include_str!("stored.txt"));
}
