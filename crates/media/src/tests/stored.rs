//! The bytes of this crate's rows.

use blaupause_data::conformance::{Any, Catalogue};

use crate::{blobs::BlobId, rows::*};

fn content(any: &mut Any) -> Content {
    Content {
        blob: BlobId::of_bytes(any.bytes()),
        size_bytes: any.number(),
        content_type: any.maybe(Any::text),
        file_name: any.maybe(Any::text),
    }
}

#[test]
fn stored_rows_keep_their_bytes() {
    let mut all = Catalogue::new();
    all.row::<MediaRow>(|any| {
        let info = MediaInfo {
            name: any.text(),
            uploader: any.user(),
            created_ms: any.number(),
            content: any.maybe(content),
            quarantined: any.flag(),
        };
        ((), info)
    });
    all.row::<PendingRow>(|any| (any.text(), any.number()));
    all.row::<ThumbnailRow>(|any| {
        let size = (any.small(), any.small(), any.one_of(&[1, 2]));
        (size, content(any))
    });
    all.check(env!("CARGO_MANIFEST_DIR"), include_str!("stored.txt"));
}
