//! The bytes of this crate's rows.

use blaupause_data::conformance::{Any, Catalogue};
use blaupause_graph::EventNo;

use crate::{
    ServerKeys, ServerKeysRow, StoredKey,
    received::{Received, ReceivedRow},
    sender::rows::*,
};

#[test]
fn stored_rows_keep_their_bytes() {
    let mut all = Catalogue::new();
    all.row::<OwedRow>(|any| {
        let events = any.list(|any| OwedEvent { place: any.place(), no: EventNo(any.small()) });
        (any.part(), Owed { room_id: any.room(), events })
    });
    all.row::<OutEduRow>(|any| {
        let edu = OutEdu { at_ms: any.number(), json: any.text() };
        ((any.pos(), any.small() as u16), edu)
    });
    all.row::<DestinationRow>(|any| {
        let destination = Destination {
            server_name: any.server(),
            failures: any.small(),
            failing_since_ms: any.number(),
            next_try_ms: any.number(),
        };
        ((), destination)
    });
    all.row::<ReceivedRow>(|any| {
        let events = any.list(|any| (any.text(), any.maybe(Any::text)));
        (any.bytes(), Received { at_ms: any.number(), events })
    });
    all.row::<ServerKeysRow>(|any| {
        let keys = any.list(|any| StoredKey {
            id: any.text(),
            key: any.list(|any| any.small() as u8),
            valid_until_ms: any.number(),
            is_old: any.flag(),
        });
        let keys = ServerKeys {
            server: any.text(),
            keys,
            document: any.maybe(Any::text),
            document_until_ms: any.number(),
            fetched_ms: any.number(),
        };
        ((), keys)
    });
    all.row::<DebtorRow>(|any: &mut Any| (any.text(), ()));
    all.check(env!("CARGO_MANIFEST_DIR"), include_str!("stored.txt"));
}
