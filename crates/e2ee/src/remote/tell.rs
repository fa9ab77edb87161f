//! Telling other servers what changed about a local user's devices (`m.device_list_update`,
//! `m.signing_key_update`).
//!
//! What was told last is kept, as hashes; what differs is told with the next numbers, in the same
//! batch that keeps it. So each change has one number, however often it is looked at.

use std::collections::{BTreeMap, BTreeSet};

use blaupause_data::{Member, Write};
use ruma::{OwnedDeviceId, OwnedServerName, RoomId, UserId, encryption::DeviceKeys, serde::Raw};
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

/// What others are told of a device.
struct Shown {
    /// `None`: it has not uploaded any.
    keys: Option<Raw<DeviceKeys>>,
    /// `None` also if names are not told.
    name: Option<String>,
}

impl Shown {
    fn add_to(&self, content: &mut Value) {
        if let Some(keys) = &self.keys {
            content["keys"] = json!(keys);
        }
        if let Some(name) = &self.name {
            content["device_display_name"] = json!(name);
        }
    }

    /// There is nothing to encrypt for and nothing to show.
    fn is_empty(&self) -> bool {
        self.keys.is_none() && self.name.is_none()
    }

    fn bytes(&self) -> usize {
        let keys = self.keys.as_ref().map_or(0, |keys| keys.json().get().len());
        keys + self.name.as_ref().map_or(0, String::len)
    }

    /// What a change of is told. Names are in the keys, too; without keys there is only the name.
    fn text(&self) -> &str {
        let name = || self.name.as_deref().unwrap_or_default();
        self.keys.as_ref().map_or_else(name, |keys| keys.json().get())
    }
}

/// A local user's devices and keys as others see them.
struct Now {
    devices: BTreeMap<OwnedDeviceId, Shown>,
    keys: UserKeys,
}

impl Now {
    fn is_empty(&self) -> bool {
        let has_keys = self.keys.master.is_some() || self.keys.self_signing.is_some();
        !has_keys && self.devices.values().all(Shown::is_empty)
    }
}

impl E2ee {
    /// Tell the servers that share a room with a local user what they were not told yet.
    pub(super) async fn tell_devices(&self, user: &UserId) -> Result<(), E2eeError> {
        let servers = self.data().servers_with(user).await?;
        if servers.is_empty() {
            return Ok(());
        }
        let (told, now) = self.told_and_now(user).await?;
        let (next, edus) = self.difference(user, &told, &now);
        if edus.is_empty() {
            return Ok(());
        }
        self.owe_edus(user, &servers, &edus, Some(next)).await
    }

    /// Whether nothing was ever told of a local user's devices, and nothing is to be.
    async fn has_nothing_to_tell(&self, user: &UserId) -> Result<bool, E2eeError> {
        let (told, now) = self.told_and_now(user).await?;
        Ok(now.is_empty() && told.devices.is_empty() && told.signing_keys.is_none())
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
        if self.has_nothing_to_tell(user).await? && self.is_hearsay(room, &in_room).await? {
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
        self.tell_last_change(user, &new).await
    }

    /// Whether of all other servers of a room it is only said that they are there: the room was
    /// joined without its members.
    async fn is_hearsay(
        &self,
        room: &RoomId,
        in_room: &[OwnedServerName],
    ) -> Result<bool, E2eeError> {
        let own = self.data().server_name();
        let members = self.data().members(room, Member::Join).await?;
        let known: BTreeSet<_> =
            members.iter().map(|member| member.user_id.server_name()).collect();
        Ok(in_room.iter().all(|server| server == own || !known.contains(&**server)))
    }

    /// Servers turned out to be in a room, or to have been there for a while, which nobody here
    /// knew: our people's devices may have changed meanwhile.
    pub(super) async fn tell_found(
        &self,
        room: &RoomId,
        servers: &[OwnedServerName],
    ) -> Result<(), E2eeError> {
        if servers.is_empty() {
            return Ok(());
        }
        for member in self.data().members(room, Member::Join).await? {
            let user = &member.user_id;
            if self.data().is_local(user) && !self.has_nothing_to_tell(user).await? {
                self.tell_devices(user).await?;
                let mut sharing = self.data().servers_with(user).await?;
                sharing.retain(|server| servers.contains(server));
                self.tell_last_change(user, &sharing).await?;
            }
        }
        Ok(())
    }

    /// Who is told a change and misses what was before it asks for the whole list.
    async fn tell_last_change(
        &self,
        user: &UserId,
        new: &BTreeSet<OwnedServerName>,
    ) -> Result<(), E2eeError> {
        if new.is_empty() {
            return Ok(());
        }
        let (told, now) = self.told_and_now(user).await?;
        // One with keys, if there is any: it says most.
        let mut devices = now.devices.iter().collect::<Vec<_>>();
        devices.sort_by_key(|(_, shown)| shown.keys.is_none());
        let Some((device, shown)) = devices.first() else { return Ok(()) };
        let mut content = json!({
            "user_id": user,
            "device_id": device,
            "stream_id": told.stream_id,
            "prev_id": [told.stream_id.saturating_sub(1)],
        });
        shown.add_to(&mut content);
        let bytes = shown.bytes() + 300;
        self.owe_edus(user, new, &[(DEVICE_LIST_UPDATE, content, bytes)], None).await
    }

    async fn told_and_now(&self, user: &UserId) -> Result<(ToldDevices, Now), E2eeError> {
        let part = self.data().parts().user(user);
        let told = self.data().get::<ToldDevicesRow>(part, &()).await?;
        let wanted = BTreeMap::from([(user.to_owned(), Vec::new())]);
        let keys = self.keys_for_others(&wanted).await?.remove(user).unwrap_or_default();
        let names = self.accounts().device_names(user).await?;
        let tells_names = self.settings().device_names;
        let shown = |device: &OwnedDeviceId| Shown {
            keys: keys.devices.get(device).cloned(),
            name: names.get(device).cloned().flatten().filter(|_| tells_names),
        };
        let all: BTreeSet<_> = keys.devices.keys().chain(names.keys()).collect();
        let devices = all.into_iter().map(|device| (device.clone(), shown(device))).collect();
        Ok((told.map(|told| told.value).unwrap_or_default(), Now { devices, keys }))
    }

    /// What differs from what was told, and what is told then.
    fn difference(&self, user: &UserId, told: &ToldDevices, now: &Now) -> (ToldDevices, Vec<Edu>) {
        let Now { devices, keys } = now;
        let hash = |text: &str| self.data().parts().hash16(text);
        let mut next = ToldDevices { stream_id: told.stream_id, ..ToldDevices::default() };
        let mut edus = Vec::new();
        let mut update = |next: &mut ToldDevices, device: &str, shown: Option<&Shown>| {
            let prev = next.stream_id;
            next.stream_id += 1;
            let mut content = json!({
                "user_id": user,
                "device_id": device,
                "stream_id": next.stream_id,
                "prev_id": [prev],
            });
            match shown {
                Some(shown) => shown.add_to(&mut content),
                None => content["deleted"] = json!(true),
            }
            edus.push((DEVICE_LIST_UPDATE, content, shown.map_or(0, Shown::bytes) + 300));
        };
        for (device, shown) in devices {
            let hash = hash(shown.text());
            next.devices.insert(device.to_string(), hash);
            if told.devices.get(device.as_str()) != Some(&hash) {
                update(&mut next, device.as_str(), Some(shown));
            }
        }
        for device in told.devices.keys().filter(|it| !devices.contains_key(it.as_str())) {
            update(&mut next, device, None);
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
