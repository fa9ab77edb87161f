//! The bytes of this crate's rows.

use blaupause_data::conformance::{Any, Catalogue};
use blaupause_graph::EventNo;
use blaupause_notify::rows::*;

fn subscription(any: &mut Any, state: Subscribed) -> StoredSubscription {
    StoredSubscription { room_id: any.room(), root: any.event(), state }
}

fn rows() -> Catalogue {
    let mut all = Catalogue::new();
    all.row::<PusherRow>(|any| {
        let pusher = StoredPusher {
            device: any.maybe(Any::device),
            json: any.text(),
            enabled: any.flag(),
            set_ms: any.number(),
        };
        ((any.text(), any.text()), pusher)
    });
    for state in [Subscribed::Manually, Subscribed::Automatically, Subscribed::Not] {
        all.row::<ThreadSubscriptionRow>(|any| {
            ((any.part(), any.text()), subscription(any, state))
        });
        all.row::<ThreadSubscriptionLogRow>(|any| (any.pos(), subscription(any, state)));
    }
    all.row::<NotificationRow>(|any| {
        let notification = StoredNotification {
            room_id: any.room(),
            no: EventNo(any.small()),
            at_ms: any.number(),
            highlight: any.flag(),
            actions: any.text(),
        };
        (any.place(), notification)
    });
    all.row::<NotifiedRow>(|any| ((any.number(), any.part()), any.user()));
    all.row::<PushDebtRow>(|any| (any.part(), any.user()));
    all.row::<PusherIndexRow>(|any| ((any.bytes(), any.part()), any.user()));
    all.row::<PushStateRow>(|any| {
        let state = PushState { upto: any.place(), badge: any.maybe(Any::number) };
        ((any.text(), any.text()), state)
    });
    all.row::<ServiceRow>(|any| {
        let service = StoredService {
            since_ms: any.number(),
            number: any.number(),
            position: any.number(),
            done: any.small(),
            pieces: any.small(),
        };
        (any.text(), service)
    });
    all.row::<ServicePieceRow>(|any| ((any.text(), any.small()), any.text()));
    all
}

#[test]
fn stored_rows_keep_their_bytes() {
    rows().check(env!("CARGO_MANIFEST_DIR"), include_str!("stored.txt"));
}
