use std::collections::BTreeMap;

use blaupause_data::{DIRECTORY, Part, Write};
use blaupause_store::Store;
use ruma::{owned_device_id, owned_user_id};

use super::World;
use crate::rows::{
    AccountDataRow, AccountRow, DeviceRow, LastSeenRow, LocalUserRow, LoginTokenRow, PasswordHash,
    ProfileRow, RegistrationTokenRow, StoredAccount, StoredDevice, StoredLastSeen, StoredLocalUser,
    StoredProfile, StoredRegistrationToken, StoredToken, StoredTokenKind, TokenPair, TokenRow,
};

/// A partition that no name has.
const PART: Part = Part(u64::MAX);

fn examples(write: &mut Write) {
    let account = StoredAccount {
        user_id: owned_user_id!("@a:b"),
        created_ms: 1,
        guest: false,
        admin: true,
        suspended: false,
        locked: true,
        deactivated_ms: Some(2),
        erased: false,
        password: Some(PasswordHash("h".into())),
    };
    write.put_version::<AccountRow>(PART, &(), 7, &account);
    let device =
        StoredDevice { display_name: Some("d".into()), created_ms: 1, tokens: vec![[1; 32]] };
    write.put_version::<DeviceRow>(PART, &owned_device_id!("D"), 1, &device);
    let seen = StoredLastSeen { at_ms: 1, address: Some("x".into()), user_agent: None };
    write.put::<LastSeenRow>(PART, &owned_device_id!("D"), &seen);
    let pair = TokenPair { access: [2; 32], refresh: [3; 32] };
    let mut token = StoredToken {
        device: owned_device_id!("D"),
        expires_ms: Some(1),
        replaces: None,
        kind: StoredTokenKind::Access { refreshable: true },
    };
    write.put_version::<TokenRow>(PART, &[0; 32], 1, &token);
    token.kind = StoredTokenKind::Refresh { access: [4; 32], next: Some(pair) };
    write.put_version::<TokenRow>(PART, &[1; 32], 1, &token);
    write.put_version::<LoginTokenRow>(PART, &[0; 32], 1, &300);
    let fields = BTreeMap::from([("m.tz".to_owned(), "\"UTC\"".to_owned())]);
    let profile = StoredProfile { display_name: Some("A".into()), avatar_url: None, fields };
    write.put_version::<ProfileRow>(PART, &(), 1, &profile);
    let key = ("!r:b".to_owned(), "t".to_owned());
    write.put_version::<AccountDataRow>(PART, &key, 1, &Some("{}".into()));
    let token = StoredRegistrationToken { uses_max: Some(2), uses: 1, expires_ms: None };
    write.put_version::<RegistrationTokenRow>(DIRECTORY, &"t".to_owned(), 1, &token);
    let entry = StoredLocalUser { display_name: None, avatar_url: Some("m".into()) };
    write.put::<LocalUserRow>(DIRECTORY, &"a".to_owned(), &entry);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is stored must be readable for ever: a change of these bytes needs a new format number.
#[tokio::test]
async fn stored_rows_keep_their_bytes() {
    let world = World::new().await;
    let mut write = Write::new(PART);
    examples(&mut write);
    world.data.commit(write).await.expect("memory writes");
    let mut found = Vec::new();
    for table in blaupause_data::Table::ALL {
        let (rows, _) = world.store.export(table, None, 1_000).await.expect("memory reads");
        let ours = rows.into_iter().filter(|(key, _)| {
            let part = key.part();
            part == Some(PART) || part == Some(DIRECTORY)
        });
        for (key, value) in ours {
            let key = &key.as_bytes()[8..];
            found.push(format!("{} {} {}", table.name(), hex(key), hex(&value)));
        }
    }
    found.sort();
    let wanted = include_str!("stored.txt");
    assert_eq!(found.join("\n"), wanted.trim_end(), "\n{}", found.join("\n"));
}
