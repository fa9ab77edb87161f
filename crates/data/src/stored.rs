//! The bytes of this crate's rows.

use std::{collections::BTreeSet, path::Path};

use blaupause_graph::{EventNo, PageNo, StateKeyNo};
use ruma::RoomVersionId;

use crate::{
    Change, Member,
    conformance::{Any, Catalogue, Declared, declared, given_twice},
    rows::*,
};

const MEMBERS: [Member; 5] =
    [Member::Join, Member::Invite, Member::Knock, Member::Leave, Member::Ban];

fn no(any: &mut Any) -> EventNo {
    EventNo(any.small())
}

fn head(any: &mut Any) -> RoomHead {
    RoomHead {
        room_id: any.room(),
        version: any.one_of(&[RoomVersionId::V1, RoomVersionId::V11, RoomVersionId::V12]),
        next_event: no(any),
        next_state_key: StateKeyNo(any.small()),
        next_page: PageNo(any.small()),
        tips: any.list(|any| Tip {
            no: no(any),
            event_id: any.event(),
            depth: any.number(),
            state: any.state(),
        }),
        state: any.state(),
        joined: any.number(),
        invited: any.number(),
    }
}

fn event(any: &mut Any) -> StoredEvent {
    StoredEvent {
        event_id: any.event(),
        place: any.maybe(Any::place),
        state_before: any.state(),
        state_after: any.state(),
        auth: any.list(no),
        prev: any.list(no),
        rejected: any.flag(),
        soft_failed: any.flag(),
        redacted_by: any.maybe(no),
        replaces: any.maybe(no),
        pdu: any.text(),
    }
}

fn user_room(any: &mut Any) -> UserRoom {
    UserRoom {
        room_id: any.room(),
        membership: any.one_of(&MEMBERS),
        entered: any.maybe(Any::number),
        no: any.maybe(no),
        sender: any.user(),
        forgotten: any.flag(),
        was_joined: any.flag(),
        stripped: any.list(Any::text),
    }
}

fn entry(any: &mut Any) -> TimelineEntry {
    TimelineEntry { no: no(any), state: any.state(), gap: any.flag() }
}

fn rows() -> Catalogue {
    let mut all = Catalogue::new();
    all.row::<HeadRow>(|any| ((), head(any)));
    all.row::<EventRow>(|any| (no(any), event(any)));
    all.row::<EventNoRow>(|any| (any.bytes(), no(any)));
    all.row::<EventRoomRow>(|any| (any.event(), any.room()));
    all.row::<StateKeyNoRow>(|any| ((any.text(), any.text()), StateKeyNo(any.small())));
    all.row::<StateKeyRow>(|any| (StateKeyNo(any.small()), (any.text(), any.text())));
    all.row::<TimelineRow>(|any| (any.place(), entry(any)));
    all.row::<GapRow>(|any| (any.place(), any.list(Any::event)));
    all.row::<RelationRow>(|any| ((no(any), any.text(), any.place()), no(any)));
    all.row::<PageRow>(|any| (PageNo(any.small()), any.list(|any| any.small() as u8)));
    all.row::<AuthRow>(|any| (no(any), any.list(no)));
    all.row::<CurrentRow>(|any| (StateKeyNo(any.small()), no(any)));
    all.row::<MemberRow>(|any| {
        let member = RoomMember {
            user_id: any.user(),
            no: no(any),
            display_name: any.maybe(Any::text),
            avatar_url: any.maybe(Any::text),
        };
        ((any.one_of(&MEMBERS) as u8, any.part()), member)
    });
    all.row::<RoomServerRow>(|any| (any.server(), any.number()));
    for member in MEMBERS {
        all.row::<UserRoomRow>(|any| {
            (any.part(), UserRoom { membership: member, ..user_room(any) })
        });
    }
    all.row::<InstallationRow>(|any| {
        let installation = Installation {
            part_key: any.bytes(),
            server_name: any.text(),
            signing_key: any.list(|any| any.small() as u8),
            signing_key_version: any.text(),
        };
        ((), installation)
    });
    all.row::<OldKeyRow>(|any| {
        let key =
            OldKey { public_key: any.list(|any| any.small() as u8), expired_ms: any.number() };
        (any.text(), key)
    });
    all.row::<CursorRow>(|any| (any.text(), any.number()));
    all.changes(&[
        ("Event", &|any| Change::Event { room: any.room(), no: no(any) }),
        ("Membership", &|any| Change::Membership {
            user: any.user(),
            room: any.room(),
            membership: any.one_of(&MEMBERS),
        }),
        ("Receipt", &|any| Change::Receipt { room: any.room(), user: any.user() }),
        ("AccountData", &|any| Change::AccountData {
            user: any.user(),
            room: any.maybe(Any::room),
        }),
        ("ToDevice", &|any| Change::ToDevice { user: any.user(), device: any.device() }),
        ("Devices", &|any| Change::Devices { user: any.user() }),
        ("OneTimeKeys", &|any| Change::OneTimeKeys { user: any.user(), device: any.device() }),
        ("Profile", &|any| Change::Profile { user: any.user() }),
        ("Deactivated", &|any| Change::Deactivated { user: any.user() }),
        ("Unread", &|any| Change::Unread { user: any.user(), room: any.room() }),
        ("Redacted", &|any| Change::Redacted { room: any.room(), no: no(any) }),
        ("Servers", &|any| Change::Servers { room: any.room() }),
        ("Owed", &|any| Change::Owed { server: any.server() }),
        ("Swept", &|any| Change::Swept { room: any.room(), no: no(any) }),
        ("GuestsOut", &|any| Change::GuestsOut { room: any.room() }),
        ("History", &|any| Change::History { room: any.room() }),
        ("Signed", &|any| Change::Signed { signer: any.user(), of: any.user() }),
        ("StateWhole", &|any| Change::StateWhole {
            room: any.room(),
            gone: any.list(Any::user),
            servers: any.list(Any::server),
        }),
    ]);
    all
}

/// A new variant needs a line above.
fn _every_change_is_described(change: &Change) {
    match change {
        Change::Event { .. }
        | Change::Membership { .. }
        | Change::Receipt { .. }
        | Change::AccountData { .. }
        | Change::ToDevice { .. }
        | Change::Devices { .. }
        | Change::OneTimeKeys { .. }
        | Change::Profile { .. }
        | Change::Deactivated { .. }
        | Change::Unread { .. }
        | Change::Redacted { .. }
        | Change::Servers { .. }
        | Change::Owed { .. }
        | Change::Swept { .. }
        | Change::GuestsOut { .. }
        | Change::History { .. }
        | Change::Signed { .. }
        | Change::StateWhole { .. } => {}
    }
}

#[test]
fn stored_rows_keep_their_bytes() {
    rows().check(env!("CARGO_MANIFEST_DIR"), include_str!("stored.txt"));
}

/// The rows of all crates.
fn all_rows() -> Vec<(String, Declared)> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it lies in a folder");
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(crates).expect("the folder of the crates") {
        let path = entry.expect("an entry").path();
        if path.join("src").is_dir() {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            rows.extend(declared(&path).into_iter().map(|row| (name.clone(), row)));
        }
    }
    rows
}

#[test]
fn no_tag_is_given_twice() {
    let rows: Vec<_> = all_rows().into_iter().map(|(_, row)| row).collect();
    assert!(rows.len() > 40, "the sources were found");
    assert_eq!(given_twice(&rows), []);
}

/// The table at the top of `rows.rs` lists every row of every crate, and nothing else. Rows that
/// the store itself writes are no `row!`.
#[test]
fn the_catalogue_lists_every_row() {
    let listed: BTreeSet<(String, String, char)> = include_str!("rows.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! |"))
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let tag = cells.get(1).filter(|tag| tag.len() == 1)?.chars().next()?;
            let (table, owner) = (*cells.first()?, *cells.get(3)?);
            (owner != "store").then(|| (owner.to_owned(), table.to_owned(), tag))
        })
        .collect();
    let rows = all_rows().into_iter();
    let declared: BTreeSet<_> = rows.map(|(owner, row)| (owner, row.table, row.tag)).collect();
    let absent: Vec<_> = declared.difference(&listed).collect();
    assert!(absent.is_empty(), "declared, and not in the catalogue: {absent:?}");
    let gone: Vec<_> = listed.difference(&declared).collect();
    assert!(gone.is_empty(), "in the catalogue, and not declared: {gone:?}");
}
