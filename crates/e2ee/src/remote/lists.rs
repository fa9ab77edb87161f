//! The kept device lists of remote users.

use std::collections::{BTreeMap, BTreeSet};

use blaupause_data::{DataError, Found, Order, ReadSet, Write};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};

use super::checked::CheckedKeys;
use crate::{
    E2ee, E2eeError, UserKeys,
    rows::{CrossSigningRow, DeviceKeysRow, RemoteList, RemoteListRow, Usage, raw},
};

/// Bytes of one list that is kept, within the store's limits. Larger ones are asked for each time.
const LIST_BYTES_MAX: usize = 600_000;
/// Devices of one list.
const DEVICES_MAX: u32 = 2_000;

impl E2ee {
    /// What is known of the lists of these users. One read.
    pub(super) async fn remote_lists(
        &self,
        users: &[OwnedUserId],
    ) -> Result<Vec<Option<Found<RemoteList>>>, DataError> {
        let parts = self.data().parts();
        let keys = users.iter().map(|user| (parts.user(user), &()));
        let rows = self.data().get_many::<RemoteListRow>(keys).await?;
        let rows = rows.into_iter().zip(users);
        Ok(rows.map(|(row, user)| row.filter(|row| row.user_id == *user)).collect())
    }

    /// The kept keys of these users, right or not. One read.
    pub(super) async fn kept_keys(
        &self,
        users: &[OwnedUserId],
    ) -> Result<BTreeMap<OwnedUserId, UserKeys>, DataError> {
        let parts = self.data().parts();
        let mut want = ReadSet::new();
        let slots: Vec<_> = users
            .iter()
            .map(|user| {
                let part = parts.user(user);
                let devices = want.prefix::<DeviceKeysRow>(part, &(), Order::Forward, DEVICES_MAX);
                (devices, want.prefix::<CrossSigningRow>(part, &(), Order::Forward, 3))
            })
            .collect();
        let got = want.run(self.data()).await?;
        let mut kept = BTreeMap::new();
        for (user, (devices, signing)) in users.iter().zip(slots) {
            let mut keys = UserKeys::default();
            let mut rows = got.many(devices)?;
            if rows.more {
                rows = self.data().list_all(parts.user(user), &(), DEVICES_MAX).await?;
            }
            for (device, row) in rows.rows {
                if let Some(json) = raw(&row.value) {
                    keys.devices.insert(OwnedDeviceId::from(device), json);
                }
            }
            for (usage, row) in got.many(signing)?.rows {
                if usage == Usage::Master as u8 {
                    keys.master = raw(&row.value);
                } else if usage == Usage::SelfSigning as u8 {
                    keys.self_signing = raw(&row.value);
                }
            }
            kept.insert(user.clone(), keys);
        }
        Ok(kept)
    }

    /// Keep a list as the other server has just told it. `known` is what was known when it was
    /// asked: if that has changed meanwhile the list is not kept. Clients are told if anything
    /// differs from what was kept before.
    pub(super) async fn keep_list(
        &self,
        user: &UserId,
        known: Option<&Found<RemoteList>>,
        stream_id: Option<u64>,
        keys: &CheckedKeys,
    ) -> Result<(), E2eeError> {
        if keys.bytes() > LIST_BYTES_MAX {
            return Ok(());
        }
        let part = self.data().parts().user(user);
        let mut want = ReadSet::new();
        let devices = want.prefix::<DeviceKeysRow>(part, &(), Order::Forward, DEVICES_MAX);
        let signing = want.prefix::<CrossSigningRow>(part, &(), Order::Forward, 3);
        let got = want.run(self.data()).await?;
        let mut write = Write::new(part);
        let mut changed = false;
        let stored: BTreeMap<_, _> = got.many(devices)?.rows.into_iter().collect();
        let names: BTreeSet<_> = keys.devices.keys().map(ToString::to_string).collect();
        for name in stored.keys().filter(|name| !names.contains(*name)) {
            write.del::<DeviceKeysRow>(part, name);
            changed = true;
        }
        for (device, json) in &keys.devices {
            let name = device.to_string();
            let old = stored.get(&name);
            if old.is_none_or(|old| old.value != *json) {
                let version = old.map_or(0, |old| old.version);
                write.put_version::<DeviceKeysRow>(part, &name, version + 1, json);
                changed = true;
            }
        }
        let stored: BTreeMap<_, _> = got.many(signing)?.rows.into_iter().collect();
        for (usage, key) in
            [(Usage::Master, &keys.master), (Usage::SelfSigning, &keys.self_signing)]
        {
            let (usage, old) = (usage as u8, stored.get(&(usage as u8)));
            match key {
                Some(json) if old.is_none_or(|old| old.value != *json) => {
                    let version = old.map_or(0, |old| old.version);
                    write.put_version::<CrossSigningRow>(part, &usage, version + 1, json);
                }
                None if old.is_some() => write.del::<CrossSigningRow>(part, &usage),
                _ => continue,
            }
            changed = true;
        }
        let list = RemoteList { user_id: user.to_owned(), stream_id, is_fresh: true };
        let version = known.map_or(0, |known| known.version);
        write.require_version::<RemoteListRow>(part, &(), version);
        write.put_version::<RemoteListRow>(part, &(), version + 1, &list);
        if changed && known.is_some() {
            self.note_devices_changed(&mut write, user).await?;
        }
        match self.data().commit(write).await {
            Ok(_) | Err(DataError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// These lists have to be asked for again when somebody needs them. One read, one batch.
    pub(super) async fn forget_lists(&self, users: &[OwnedUserId]) -> Result<(), E2eeError> {
        let mut write: Option<Write> = None;
        for (user, list) in users.iter().zip(self.remote_lists(users).await?) {
            self.remote().note_change(user);
            let Some(list) = list.filter(|list| list.is_fresh) else { continue };
            let part = self.data().parts().user(user);
            let write = write.get_or_insert_with(|| Write::new(part));
            self.put_stale(write, list);
        }
        if let Some(write) = write {
            self.data().commit(write).await?;
        }
        let mut doubted = self.remote().doubted.lock();
        doubted.retain(|user| !users.contains(user));
        Ok(())
    }

    pub(super) fn put_stale(&self, write: &mut Write, list: Found<RemoteList>) {
        let part = self.data().parts().user(&list.user_id);
        let (version, list) = (list.version, list.value);
        let stale = RemoteList { stream_id: None, is_fresh: false, ..list };
        write.require_version::<RemoteListRow>(part, &(), version);
        write.put_version::<RemoteListRow>(part, &(), version + 1, &stale);
    }
}
