//! The bytes of this crate's rows.

use blaupause_data::conformance::{Any, Catalogue};

use crate::rows::{
    LinkRow, SessionRow, StoredLink, StoredSession, StoredUserLink, UserLinkRow, UserSessionRow,
};

#[test]
fn stored_rows_keep_their_bytes() {
    let mut all = Catalogue::new();
    all.row::<LinkRow>(|any: &mut Any| {
        let link = StoredLink { user_id: any.user(), linked_ms: any.number() };
        ((any.text(), any.text()), link)
    });
    all.row::<UserLinkRow>(|any| {
        let link = StoredUserLink { subject: any.text(), linked_ms: any.number() };
        (any.text(), link)
    });
    all.row::<SessionRow>(|any| ((any.text(), any.text()), StoredSession { user_id: any.user() }));
    all.row::<UserSessionRow>(|any| ((any.text(), any.text()), any.number()));
    all.check(env!("CARGO_MANIFEST_DIR"), include_str!("stored.txt"));
}
