//! The bytes of this crate's rows.

use blaupause_data::conformance::{Any, Catalogue};
use blaupause_notify::rows::*;

fn subscription(any: &mut Any, state: Subscribed) -> StoredSubscription {
    StoredSubscription { room_id: any.room(), root: any.event(), state }
}

fn rows() -> Catalogue {
    let mut all = Catalogue::new();
    all.row::<PusherRow>(|any| {
        let pusher = StoredPusher { device: any.maybe(Any::device), json: any.text() };
        ((any.text(), any.text()), pusher)
    });
    for state in [Subscribed::Manually, Subscribed::Automatically, Subscribed::Not] {
        all.row::<ThreadSubscriptionRow>(|any| {
            ((any.part(), any.text()), subscription(any, state))
        });
        all.row::<ThreadSubscriptionLogRow>(|any| (any.pos(), subscription(any, state)));
    }
    all
}

#[test]
fn stored_rows_keep_their_bytes() {
    rows().check(env!("CARGO_MANIFEST_DIR"), include_str!("stored.txt"));
}
