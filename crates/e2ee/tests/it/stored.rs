//! The bytes of this crate's rows.

use blaupause_data::conformance::{Any, Catalogue};
use blaupause_e2ee::rows::*;

fn one_time_key(any: &mut Any) -> OneTimeKeyValue {
    OneTimeKeyValue { name: any.text(), json: any.text() }
}

fn rows() -> Catalogue {
    let mut all = Catalogue::new();
    all.row::<DeviceKeysRow>(|any| (any.text(), any.text()));
    for usage in Usage::ALL {
        all.row::<CrossSigningRow>(|any| (usage as u8, any.text()));
    }
    all.row::<MySignaturesRow>(|any| ((any.user(), any.text()), any.text()));
    all.row::<SignedRow>(|any| (any.user(), ()));
    all.row::<OneTimeKeyRow>(|any| {
        ((any.text(), any.text(), any.pos(), any.small() as u16), one_time_key(any))
    });
    all.row::<FallbackKeyRow>(|any| {
        let key = FallbackKey { key: one_time_key(any), used: any.flag() };
        ((any.text(), any.text()), key)
    });
    all.row::<ToDeviceRow>(|any| {
        ((any.text(), any.pos(), any.small() as u16), StoredToDevice { json: any.text() })
    });
    all.row::<ToDeviceTxnRow>(|any| ((any.text(), any.bytes()), any.number()));
    all.row::<DevicesChangedRow>(|_| ((), ()));
    all.row::<DeviceChangeRow>(|any| ((any.pos(), any.small() as u16), any.user()));
    all.row::<RemoteListRow>(|any| {
        let list = RemoteList {
            user_id: any.user(),
            stream_id: any.maybe(Any::number),
            is_fresh: any.flag(),
        };
        ((), list)
    });
    all.row::<ToldDevicesRow>(|any| {
        let told = ToldDevices {
            stream_id: any.number(),
            devices: any.list(|any| (any.text(), any.bytes())).into_iter().collect(),
            signing_keys: any.maybe(Any::bytes),
        };
        ((), told)
    });
    all.row::<BackupVersionRow>(|any| {
        let version = BackupVersionValue {
            algorithm: any.text(),
            auth_data: any.text(),
            count: any.number(),
            etag: any.number(),
            deleted: any.flag(),
        };
        (any.number(), version)
    });
    all.row::<BackupKeyRow>(|any| {
        let key = BackupKeyValue {
            is_verified: any.flag(),
            first_message_index: any.number(),
            forwarded_count: any.number(),
            session_data: any.text(),
        };
        ((any.number(), any.text(), any.text()), key)
    });
    all
}

#[test]
fn stored_rows_keep_their_bytes() {
    rows().check(env!("CARGO_MANIFEST_DIR"), include_str!("stored.txt"));
}
