//! Changes of device lists and keys that other servers tell.

use blaupause_data::{Change, DataError, Found, Write};
use ruma::{
    ServerName, UserId,
    api::federation::transactions::edu::{DeviceListUpdateContent, SigningKeyUpdateContent},
};

use super::checked;
use crate::{
    E2ee, E2eeError,
    rows::{DeviceKeysRow, RemoteList, RemoteListRow},
};

/// Attempts while others change the same list.
const ATTEMPTS_MAX: usize = 5;
/// Bytes of a device id.
const DEVICE_ID_BYTES_MAX: usize = 255;

impl E2ee {
    /// A server says that a device of one of its users changed (`m.device_list_update`). What it
    /// says of others is not believed, and what nobody here asked for is not kept; but who shares a
    /// room with the user hears of it. `is_unsure`: not all rooms that they are in are known.
    ///
    /// # Errors
    /// The store failed.
    pub async fn hear_device_list_update(
        &self,
        origin: &ServerName,
        update: &DeviceListUpdateContent,
        is_unsure: bool,
    ) -> Result<(), E2eeError> {
        let user = &update.user_id;
        if user.server_name() != origin || update.device_id.as_str().len() > DEVICE_ID_BYTES_MAX {
            return Ok(());
        }
        self.remote().note_change(user);
        for _ in 0..ATTEMPTS_MAX {
            match self.try_update(update, is_unsure).await {
                Err(E2eeError::Data(DataError::Conflict { .. })) => {}
                done => return done,
            }
        }
        self.forget_lists(std::slice::from_ref(user)).await
    }

    async fn try_update(
        &self,
        update: &DeviceListUpdateContent,
        is_unsure: bool,
    ) -> Result<(), E2eeError> {
        let user = &update.user_id;
        let list = self.remote_lists(std::slice::from_ref(user)).await?.pop().flatten();
        let Some(list) = list.filter(|list| list.is_fresh) else {
            // A device without keys is nothing to encrypt for. But who asked for the list of somebody
            // who is not known to be near was not told what came of it.
            let says_something = update.keys.is_some() || update.deleted == Some(true) || is_unsure;
            return if says_something { self.tell_clients(user).await } else { Ok(()) };
        };
        match place(&list, update) {
            Place::Known => Ok(()),
            Place::Next => self.apply(list, update).await,
            Place::Unknown => self.lose(list).await,
        }
    }

    /// The change follows on what is kept.
    async fn apply(
        &self,
        list: Found<RemoteList>,
        update: &DeviceListUpdateContent,
    ) -> Result<(), E2eeError> {
        let user = &update.user_id;
        let part = self.data().parts().user(user);
        let name = update.device_id.to_string();
        let stored = self.data().get::<DeviceKeysRow>(part, &name).await?;
        let version = stored.as_ref().map_or(0, |row| row.version);
        let had_keys = stored.is_some();
        let display_name = update.device_display_name.as_deref();
        let keys = match &update.keys {
            _ if update.deleted == Some(true) => None,
            Some(keys) => {
                let Some(keys) = checked::device(user, &update.device_id, keys, display_name)
                else {
                    return self.lose(list).await;
                };
                Some(keys)
            }
            // A device without keys, or one that only has another name.
            None => stored.and_then(|row| checked::with_name(&row.value, display_name)),
        };
        let mut write = Write::new(part);
        let is_news = had_keys || keys.is_some();
        match keys {
            Some(keys) => {
                write.put_version::<DeviceKeysRow>(part, &name, version + 1, &keys);
            }
            None => write.del::<DeviceKeysRow>(part, &name),
        }
        let next = RemoteList { stream_id: Some(update.stream_id.into()), ..list.value };
        write.require_version::<RemoteListRow>(part, &(), list.version);
        write.put_version::<RemoteListRow>(part, &(), list.version + 1, &next);
        if is_news {
            self.note_devices_changed(&mut write, user).await?;
        }
        self.data().commit(write).await?;
        Ok(())
    }

    /// Clients look again. Nothing is kept of somebody whose list is not: another server may name
    /// as many users as it likes.
    async fn tell_clients(&self, user: &UserId) -> Result<(), E2eeError> {
        let mut write = Write::new(self.data().parts().user(user));
        write.change(&Change::Devices { user: user.to_owned() });
        self.data().commit(write).await?;
        Ok(())
    }

    /// The list is not what the other server has any more: clients look again, and so do we.
    async fn lose(&self, list: Found<RemoteList>) -> Result<(), E2eeError> {
        let user = list.user_id.clone();
        let mut write = Write::new(self.data().parts().user(&user));
        self.put_stale(&mut write, list);
        self.note_devices_changed(&mut write, &user).await?;
        self.data().commit(write).await?;
        self.resync_soon(&user);
        Ok(())
    }

    /// A server says that one of its users has other cross-signing keys (`m.signing_key_update`).
    /// The list is asked for again as a whole: that says how the keys hang together.
    ///
    /// # Errors
    /// The store failed.
    pub async fn hear_signing_key_update(
        &self,
        origin: &ServerName,
        update: &SigningKeyUpdateContent,
    ) -> Result<(), E2eeError> {
        let user: &UserId = &update.user_id;
        if user.server_name() != origin {
            return Ok(());
        }
        self.remote().note_change(user);
        for _ in 0..ATTEMPTS_MAX {
            let users = [user.to_owned()];
            let list = self.remote_lists(&users).await?.pop().flatten();
            let Some(list) = list.filter(|list| list.is_fresh) else {
                return self.tell_clients(user).await;
            };
            match self.lose(list).await {
                Err(E2eeError::Data(DataError::Conflict { .. })) => {}
                done => return done,
            }
        }
        Ok(())
    }
}

/// How a change stands to what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is contained.
    Known,
    /// It follows.
    Next,
    /// Something is missing in between.
    Unknown,
}

fn place(list: &RemoteList, update: &DeviceListUpdateContent) -> Place {
    let Some(known) = list.stream_id else { return Place::Unknown };
    if u64::from(update.stream_id) == known {
        return Place::Known;
    }
    let follows = !update.prev_id.is_empty()
        && update.prev_id.iter().all(|prev| u64::from(*prev) <= known)
        && update.prev_id.iter().any(|prev| u64::from(*prev) == known)
        && u64::from(update.stream_id) > known;
    if follows { Place::Next } else { Place::Unknown }
}

#[cfg(test)]
mod tests {
    use ruma::{UInt, owned_user_id};

    use super::*;

    fn update(stream: u32, prev: &[u32]) -> DeviceListUpdateContent {
        let user = owned_user_id!("@a:x");
        let mut update = DeviceListUpdateContent::new(user, "D".into(), UInt::from(stream));
        update.prev_id = prev.iter().copied().map(UInt::from).collect();
        update
    }

    #[test]
    fn a_change_counts_only_if_nothing_is_missing_before_it() {
        let list =
            |stream_id| RemoteList { user_id: owned_user_id!("@a:x"), stream_id, is_fresh: true };
        assert_eq!(place(&list(Some(5)), &update(6, &[5])), Place::Next);
        assert_eq!(place(&list(Some(5)), &update(9, &[4, 5])), Place::Next);
        assert_eq!(place(&list(Some(5)), &update(5, &[4])), Place::Known);
        for (stream, prev) in [(7, &[6][..]), (6, &[]), (8, &[5, 7]), (4, &[3]), (4, &[5])] {
            assert_eq!(place(&list(Some(5)), &update(stream, prev)), Place::Unknown, "{stream}");
        }
        assert_eq!(place(&list(None), &update(6, &[5])), Place::Unknown);
    }
}
