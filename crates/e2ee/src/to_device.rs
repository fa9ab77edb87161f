//! Messages from device to device (spec: client-server API, "Send-to-Device messaging").

use std::{collections::BTreeMap, num::NonZeroUsize, ops::Bound};

use blaupause_data::{Change, DataError, NOW, Order, Part, ReadSet, StreamPos, Write};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{
    DeviceId, OwnedDeviceId, OwnedUserId, TransactionId, UserId, events::AnyToDeviceEvent,
    serde::Raw,
};
use serde_json::{Value, json, value::RawValue};

use crate::{
    E2ee, E2eeError,
    remote::RemoteMessage,
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
/// Devices for which it is remembered that nothing waits.
const EMPTY_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");

/// How long a transaction is remembered, in milliseconds: nobody repeats a request after a day.
const TXN_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
/// Remembered transactions that each request looks at, to forget the old ones.
const OLD_TXNS_LOOKED_AT: u32 = 16;

/// To whom a message goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recipients {
    /// `*`: every device the user has now.
    All,
    Device(OwnedDeviceId),
}

/// Which recipients are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locality {
    /// Those of this server: another one brings the messages, and brings them to others itself.
    Here,
    Everywhere,
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

/// Devices for which nothing waits, as far as is known: nearly all, nearly always.
pub(crate) struct EmptyQueues(Mutex<Empty>);

struct Empty {
    devices: LruCache<(OwnedUserId, OwnedDeviceId), ()>,
    /// Grows with every message, so that what was read before it is not kept after it.
    epoch: u64,
}

impl Default for EmptyQueues {
    fn default() -> Self {
        Self(Mutex::new(Empty { devices: LruCache::new(EMPTY_MAX), epoch: 0 }))
    }
}

impl EmptyQueues {
    pub(crate) fn forget(&self, user: &OwnedUserId, device: &OwnedDeviceId) {
        let mut empty = self.0.lock();
        empty.epoch += 1;
        empty.devices.pop(&(user.clone(), device.clone()));
    }
}

impl E2ee {
    /// Queue messages for local devices, and owe those for others to their servers. The same
    /// transaction of a device is done once.
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
        self.queue_messages(sender, sender_device, txn, kind, messages, Locality::Everywhere).await
    }

    /// As [`E2ee::send_to_device`]; the sender may be of another server.
    pub(crate) async fn queue_messages(
        &self,
        sender: &UserId,
        sender_device: Option<&DeviceId>,
        txn: &TransactionId,
        kind: &str,
        messages: &BTreeMap<OwnedUserId, BTreeMap<Recipients, Box<RawValue>>>,
        locality: Locality,
    ) -> Result<(), E2eeError> {
        let parts = self.data().parts();
        let part = parts.user(sender);
        let device = sender_device.map(ToString::to_string).unwrap_or_default();
        let remote = match locality {
            Locality::Everywhere if self.federation().is_on() => {
                let txn = format!("{device}\n{txn}");
                self.remote_messages(sender, &txn, kind, messages)?
            }
            _ => Vec::new(),
        };
        let txn = (device, parts.hash16(&format!("{kind}\n{txn}")));
        let mut want = ReadSet::new();
        let done = want.get::<ToDeviceTxnRow>(part, &txn);
        // A few others from an arbitrary place: so those that nobody repeats any more go in time.
        let from = (txn.0.clone(), self.data().env().random::<16>());
        let to = txn.0.clone();
        let others = want.range::<ToDeviceTxnRow>(
            part,
            Bound::Included(&from),
            Bound::Included(&to),
            Order::Forward,
            OLD_TXNS_LOOKED_AT,
        );
        let got = want.run(self.data()).await?;
        if got.one(done)?.is_some() {
            return Ok(());
        }
        let now = self.data().env().now_millis();
        let queue = self.expand(sender, kind, messages).await?;
        let mut chunks = chunks(queue);
        // What goes into the last batch makes the transaction done.
        let last = chunks.pop().unwrap_or_default();
        for chunk in chunks {
            let mut write = Write::new(part);
            self.put_messages(&mut write, chunk);
            self.data().commit(write).await?;
        }
        self.owe_messages(part, &remote).await?;
        let mut write = Write::new(part);
        self.put_messages(&mut write, last);
        for (key, at) in got.many(others)?.rows {
            if at.value + TXN_KEPT_MS < now {
                write.del::<ToDeviceTxnRow>(part, &key);
            }
        }
        write.require_absent::<ToDeviceTxnRow>(part, &txn);
        write.put::<ToDeviceTxnRow>(part, &txn, &now);
        match self.data().commit(write).await {
            // The same transaction twice at once: the other one did it.
            Ok(_) | Err(DataError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What goes to other servers. The transaction is done after it: done again, it owes the same
    /// messages with the same ids.
    async fn owe_messages(&self, part: Part, messages: &[RemoteMessage]) -> Result<(), E2eeError> {
        let (mut write, mut bytes) = (Write::new(part), 0);
        for message in messages {
            if bytes + message.bytes > BATCH_BYTES_MAX || write.len() > BATCH_MESSAGES_MAX {
                self.data().commit(std::mem::replace(&mut write, Write::new(part))).await?;
                bytes = 0;
            }
            bytes += message.bytes;
            self.owe_message(&mut write, message);
        }
        if !write.is_empty() {
            self.data().commit(write).await?;
        }
        Ok(())
    }

    fn put_messages(&self, write: &mut Write, messages: Vec<Queued>) {
        let parts = self.data().parts();
        for (index, (user, device, json)) in messages.into_iter().enumerate() {
            let key = (device.to_string(), NOW, index as u16);
            write.put::<ToDeviceRow>(parts.user(&user), &key, &StoredToDevice { json });
            write.change(&Change::ToDevice { user, device });
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
        let local = messages.iter().filter(|(user, _)| self.data().is_local(user));
        let local: Vec<_> = local.collect();
        if local.len() > RECIPIENTS_MAX {
            return Err(E2eeError::TooLarge("to-device recipients"));
        }
        let users: Vec<&UserId> = local.iter().map(|(user, _)| &***user).collect();
        let devices = self.accounts().device_names_of(&users).await?;
        for ((user, contents), devices) in local.into_iter().zip(devices) {
            for (to, content) in contents {
                let content = check_content(content)?;
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
        let mut page = want.run(self.data()).await?.many(rows)?;
        let mut more = page.more;
        // An answer that is full may end inside of a batch. It holds several (the store bounds
        // them to less), so what belongs to the last one can wait.
        if let (true, Some(((_, cut, _), _))) = (more, page.rows.last()) {
            let cut = *cut;
            if page.rows.iter().any(|((_, pos, _), _)| *pos != cut) {
                page.rows.retain(|((_, pos, _), _)| *pos != cut);
            }
        }
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

    /// Messages waiting for a device that has received those up to `since`: these are removed. The
    /// others, up to `until`, oldest first. No round trip if it is known that nothing waits.
    ///
    /// # Errors
    /// The store failed.
    pub async fn take_to_device(
        &self,
        user: &UserId,
        device: &DeviceId,
        since: Option<StreamPos>,
        until: StreamPos,
    ) -> Result<ToDevicePage, E2eeError> {
        let key = (user.to_owned(), device.to_owned());
        let epoch = {
            let mut empty = self.0.empty_queues.0.lock();
            if empty.devices.get(&key).is_some() {
                return Ok(ToDevicePage::default());
            }
            empty.epoch
        };
        // From the beginning: what the device has received is there, too, and goes now.
        let page = self.to_device(user, device, StreamPos(0), until).await?;
        let since = since.unwrap_or_default();
        if page.messages.iter().all(|message| message.pos > since) {
            let mut empty = self.0.empty_queues.0.lock();
            if page.messages.is_empty() && !page.more && empty.epoch == epoch {
                empty.devices.put(key, ());
            }
            return Ok(page);
        }
        self.acknowledge_to_device(user, device, since).await?;
        if page.more {
            return self.to_device(user, device, since, until).await;
        }
        let messages = page.messages.into_iter().filter(|message| message.pos > since).collect();
        Ok(ToDevicePage { messages, more: false })
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
        // Nobody waits for this to be durable: if it is lost, the device says it again.
        drop(self.data().submit(write));
        Ok(())
    }
}

/// The content of a message: an object of a bounded size.
pub(crate) fn check_content(content: &RawValue) -> Result<Value, E2eeError> {
    if content.get().len() > CONTENT_BYTES_MAX {
        return Err(E2eeError::TooLarge("to-device content"));
    }
    let content = serde_json::from_str(content.get()).ok().filter(Value::is_object);
    content.ok_or_else(|| E2eeError::InvalidKeys("content must be an object".into()))
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
