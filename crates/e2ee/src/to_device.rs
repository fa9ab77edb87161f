//! Messages from device to device (spec: client-server API, "Send-to-Device messaging").

use std::{collections::BTreeMap, ops::Bound};

use blaupause_data::{Change, DataError, NOW, Order, ReadSet, StreamPos, Write};
use ruma::{
    DeviceId, OwnedDeviceId, OwnedUserId, TransactionId, UserId, events::AnyToDeviceEvent,
    serde::Raw,
};
use serde_json::{Value, json, value::RawValue};

use crate::{
    E2ee, E2eeError,
    rows::{StoredToDevice, ToDeviceRow, ToDeviceTxnRow, raw},
};

/// Messages handed out at once.
pub const TO_DEVICE_PAGE_MAX: u32 = 100;
/// Bytes of one message's content (as Synapse).
const CONTENT_BYTES_MAX: usize = 65_536;
/// Devices that one request may reach.
const RECIPIENTS_MAX: usize = 10_000;
/// Messages in one batch, within the store's limits.
const BATCH_MESSAGES_MAX: usize = 500;
/// Bytes of messages in one batch, within the store's limits.
const BATCH_BYTES_MAX: usize = 500_000;

/// To whom a message goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recipients {
    /// `*`: every device the user has now.
    All,
    Device(OwnedDeviceId),
}

/// A waiting message.
#[derive(Clone, Debug)]
pub struct ToDeviceMessage {
    /// Where in the device's queue.
    pub pos: StreamPos,
    pub event: Raw<AnyToDeviceEvent>,
}

/// Waiting messages, oldest first.
#[derive(Debug, Default)]
pub struct ToDevicePage {
    pub messages: Vec<ToDeviceMessage>,
    /// More wait behind them. The last position is complete: all its messages are in the page.
    pub more: bool,
}

impl E2ee {
    /// Queue messages for local devices. The same transaction of a device is done once.
    ///
    /// # Errors
    /// A content is too large, too many recipients, or the store failed.
    pub async fn send_to_device(
        &self,
        sender: &UserId,
        sender_device: Option<&DeviceId>,
        txn: &TransactionId,
        kind: &str,
        messages: &BTreeMap<OwnedUserId, BTreeMap<Recipients, Box<RawValue>>>,
    ) -> Result<(), E2eeError> {
        let parts = self.data().parts();
        let part = parts.user(sender);
        let device = sender_device.map(ToString::to_string).unwrap_or_default();
        let txn = (device, parts.hash16(&format!("{kind}\n{txn}")));
        if self.data().get::<ToDeviceTxnRow>(part, &txn).await?.is_some() {
            return Ok(());
        }
        let queue = self.expand(sender, kind, messages).await?;
        for chunk in chunks(queue) {
            let mut write = Write::new(part);
            for (index, (user, device, json)) in chunk.into_iter().enumerate() {
                let key = (device.to_string(), NOW, index as u16);
                write.put::<ToDeviceRow>(parts.user(&user), &key, &StoredToDevice { json });
                write.change(&Change::ToDevice { user, device });
            }
            self.data().commit(write).await?;
        }
        let mut write = Write::new(part);
        write.require_absent::<ToDeviceTxnRow>(part, &txn);
        write.put::<ToDeviceTxnRow>(part, &txn, &self.data().env().now_millis());
        match self.data().commit(write).await {
            // The same transaction twice at once: both are done.
            Ok(_) | Err(DataError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// One entry per local device, with the message as JSON. `*` and unknown devices are
    /// resolved against the devices that exist now.
    async fn expand(
        &self,
        sender: &UserId,
        kind: &str,
        messages: &BTreeMap<OwnedUserId, BTreeMap<Recipients, Box<RawValue>>>,
    ) -> Result<Vec<(OwnedUserId, OwnedDeviceId, String)>, E2eeError> {
        let mut queue = Vec::new();
        for (user, contents) in messages {
            if !self.data().is_local(user) {
                continue;
            }
            let devices = self.accounts().device_names(user).await?;
            for (to, content) in contents {
                if content.get().len() > CONTENT_BYTES_MAX {
                    return Err(E2eeError::TooLarge("to-device content"));
                }
                let content: Value = serde_json::from_str(content.get())
                    .ok()
                    .filter(Value::is_object)
                    .ok_or_else(|| E2eeError::InvalidKeys("content must be an object".into()))?;
                let json =
                    json!({ "content": content, "sender": sender, "type": kind }).to_string();
                let chosen = devices.keys().filter(|device| match to {
                    Recipients::All => true,
                    Recipients::Device(wanted) => wanted == *device,
                });
                queue.extend(chosen.map(|device| (user.clone(), device.clone(), json.clone())));
                if queue.len() > RECIPIENTS_MAX {
                    return Err(E2eeError::TooLarge("to-device recipients"));
                }
            }
        }
        Ok(queue)
    }

    /// Messages waiting for a device in `since < position <= until`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn to_device(
        &self,
        user: &UserId,
        device: &DeviceId,
        since: StreamPos,
        until: StreamPos,
    ) -> Result<ToDevicePage, E2eeError> {
        let part = self.data().parts().user(user);
        let name = device.to_string();
        let mut want = ReadSet::new();
        let rows = want.range::<ToDeviceRow>(
            part,
            Bound::Excluded(&(name.clone(), since)),
            Bound::Included(&(name, until)),
            Order::Forward,
            // One batch may bring more than a page: it is never cut.
            TO_DEVICE_PAGE_MAX + BATCH_MESSAGES_MAX as u32,
        );
        let page = want.run(self.data()).await?.many(rows)?;
        let mut more = page.more;
        let mut messages = Vec::new();
        let mut last = None;
        for ((_, pos, _), row) in page.rows {
            if messages.len() >= TO_DEVICE_PAGE_MAX as usize && last != Some(pos) {
                more = true;
                break;
            }
            last = Some(pos);
            if let Some(event) = raw(&row.json) {
                messages.push(ToDeviceMessage { pos, event });
            }
        }
        Ok(ToDevicePage { messages, more })
    }

    /// The device has received everything up to `until`: remove it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn acknowledge_to_device(
        &self,
        user: &UserId,
        device: &DeviceId,
        until: StreamPos,
    ) -> Result<(), E2eeError> {
        let part = self.data().parts().user(user);
        let name = device.to_string();
        let mut want = ReadSet::new();
        let rows = want.range::<ToDeviceRow>(
            part,
            Bound::Included(&name),
            Bound::Included(&(name.clone(), until)),
            Order::Forward,
            (TO_DEVICE_PAGE_MAX as usize + BATCH_MESSAGES_MAX) as u32,
        );
        let done = want.run(self.data()).await?.many(rows)?.rows;
        if done.is_empty() {
            return Ok(());
        }
        let mut write = Write::new(part);
        for (key, _) in done {
            write.del::<ToDeviceRow>(part, &key);
        }
        self.data().commit(write).await?;
        Ok(())
    }
}

type Queued = (OwnedUserId, OwnedDeviceId, String);

/// Cut a queue into pieces that fit a batch.
fn chunks(queue: Vec<Queued>) -> Vec<Vec<Queued>> {
    let mut chunks: Vec<Vec<Queued>> = Vec::new();
    let mut bytes = 0;
    for message in queue {
        let size = message.2.len() + 200;
        bytes += size;
        match chunks.last_mut() {
            Some(last) if last.len() < BATCH_MESSAGES_MAX && bytes <= BATCH_BYTES_MAX => {
                last.push(message);
            }
            _ => {
                bytes = size;
                chunks.push(vec![message]);
            }
        }
    }
    chunks
}
