//! Telling other servers what changed about a local user's devices (`m.device_list_update`,
//! `m.signing_key_update`).
//!
//! What was told last is kept, as hashes; what differs is told with the next numbers, in the same
//! batch that keeps it. So each change has one number, however often it is looked at.

use std::collections::{BTreeMap, BTreeSet};

use blaupause_data::Write;
use ruma::{OwnedServerName, RoomId, UserId};
use serde_json::{Value, json};

use crate::{
    E2ee, E2eeError, UserKeys,
    rows::{ToldDevices, ToldDevicesRow},
};

/// Bytes of one batch, within the store's limits.
const BATCH_BYTES_MAX: usize = 500_000;
/// Rows of one batch, within the store's limits.
const BATCH_ROWS_MAX: usize = 1_500;

const DEVICE_LIST_UPDATE: &str = "m.device_list_update";
const SIGNING_KEY_UPDATE: &str = "m.signing_key_update";

/// An EDU and about how many bytes it has.
type Edu = (&'static str, Value, usize);

impl E2ee {
    /// Tell the servers that share a room with a local user what they were not told yet.
    pub(super) async fn tell_devices(&self, user: &UserId) -> Result<(), E2eeError> {
        let servers = self.data().servers_with(user).await?;
        if servers.is_empty() {
            return Ok(());
        }
        let (told, keys) = self.told_and_now(user).await?;
        let (next, edus) = self.difference(user, &told, &keys);
        if edus.is_empty() {
            return Ok(());
        }
        self.owe_edus(user, &servers, &edus, Some(next)).await
    }

    /// A local user came to a room. Servers that they share no other room with learn that there
    /// are devices: the last change is told to them, and they ask for what was before it.
    pub(super) async fn tell_newcomer(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<(), E2eeError> {
        let in_room = self.data().servers_in(room).await?;
        if in_room.len() < 2 {
            return Ok(());
        }
        self.tell_devices(user).await?;
        let mut known = BTreeSet::new();
        for other in self.data().joined_rooms(user).await? {
            if other != room {
                known.extend(self.data().servers_in(&other).await?);
            }
        }
        known.insert(self.data().server_name().to_owned());
        let new: BTreeSet<_> = in_room.into_iter().filter(|it| !known.contains(it)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let (told, keys) = self.told_and_now(user).await?;
        let Some((device, keys)) = keys.devices.iter().next() else { return Ok(()) };
        let content = json!({
            "user_id": user,
            "device_id": device,
            "stream_id": told.stream_id,
            "prev_id": [told.stream_id.saturating_sub(1)],
            "keys": keys,
        });
        let bytes = keys.json().get().len() + 300;
        self.owe_edus(user, &new, &[(DEVICE_LIST_UPDATE, content, bytes)], None).await
    }

    async fn told_and_now(&self, user: &UserId) -> Result<(ToldDevices, UserKeys), E2eeError> {
        let part = self.data().parts().user(user);
        let told = self.data().get::<ToldDevicesRow>(part, &()).await?;
        let wanted = BTreeMap::from([(user.to_owned(), Vec::new())]);
        let keys = self.keys_for_others(&wanted).await?.remove(user);
        Ok((told.map(|told| told.value).unwrap_or_default(), keys.unwrap_or_default()))
    }

    /// What differs from what was told, and what is told then.
    fn difference(
        &self,
        user: &UserId,
        told: &ToldDevices,
        keys: &UserKeys,
    ) -> (ToldDevices, Vec<Edu>) {
        let hash = |text: &str| self.data().parts().hash16(text);
        let mut next = ToldDevices { stream_id: told.stream_id, ..ToldDevices::default() };
        let mut edus = Vec::new();
        let mut update = |next: &mut ToldDevices, device: &str, more: Value, bytes: usize| {
            let prev = next.stream_id;
            next.stream_id += 1;
            let mut content = json!({
                "user_id": user,
                "device_id": device,
                "stream_id": next.stream_id,
                "prev_id": [prev],
            });
            if let (Some(content), Value::Object(more)) = (content.as_object_mut(), more) {
                content.extend(more);
            }
            edus.push((DEVICE_LIST_UPDATE, content, bytes + 300));
        };
        for (device, keys) in &keys.devices {
            let text = keys.json().get();
            next.devices.insert(device.to_string(), hash(text));
            if told.devices.get(device.as_str()) != Some(&hash(text)) {
                update(&mut next, device.as_str(), json!({ "keys": keys }), text.len());
            }
        }
        for device in told.devices.keys().filter(|it| !keys.devices.contains_key(it.as_str())) {
            update(&mut next, device, json!({ "deleted": true }), 0);
        }
        let mut content = json!({ "user_id": user });
        for (name, key) in [("master_key", &keys.master), ("self_signing_key", &keys.self_signing)]
        {
            if let Some(key) = key {
                content[name] = json!(key);
            }
        }
        let text = content.to_string();
        let has_keys = keys.master.is_some() || keys.self_signing.is_some();
        next.signing_keys = has_keys.then(|| hash(&text));
        if has_keys && next.signing_keys != told.signing_keys {
            edus.push((SIGNING_KEY_UPDATE, content, text.len()));
        }
        (next, edus)
    }

    /// As many batches as are needed; the last one keeps what was told.
    async fn owe_edus(
        &self,
        user: &UserId,
        servers: &BTreeSet<OwnedServerName>,
        edus: &[Edu],
        told: Option<ToldDevices>,
    ) -> Result<(), E2eeError> {
        let part = self.data().parts().user(user);
        let (mut write, mut bytes) = (Write::new(part), 0);
        for server in servers {
            for (kind, content, size) in edus {
                if bytes + size > BATCH_BYTES_MAX || write.len() > BATCH_ROWS_MAX {
                    self.data().commit(std::mem::replace(&mut write, Write::new(part))).await?;
                    bytes = 0;
                }
                bytes += size;
                self.federation().owe_edu(&mut write, server, kind, content);
            }
        }
        if let Some(told) = told {
            write.put::<ToldDevicesRow>(part, &(), &told);
        }
        if !write.is_empty() {
            self.data().commit(write).await?;
        }
        Ok(())
    }
}
