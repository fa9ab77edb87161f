//! Messages to devices of remote users, and from them (`m.direct_to_device`).

use std::collections::BTreeMap;

use blaupause_data::Write;
use ruma::{
    OwnedServerName, OwnedUserId, ServerName, TransactionId, UserId,
    api::federation::transactions::edu::DirectDeviceContent, to_device::DeviceIdOrAllDevices,
};
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    E2ee, E2eeError, Recipients,
    to_device::{Locality, check_content},
};

/// Bytes of the messages of one EDU, within what a row may have.
const EDU_BYTES_MAX: usize = 80_000;
/// Bytes of an event type.
const EVENT_TYPE_BYTES_MAX: usize = 255;
/// Bytes of a message id.
const MESSAGE_ID_BYTES_MAX: usize = 255;

/// An EDU for another server.
#[derive(Clone, Debug)]
pub(crate) struct RemoteMessage {
    pub server: OwnedServerName,
    content: Value,
    pub bytes: usize,
}

impl E2ee {
    /// The EDUs that bring messages to other servers. Made again of the same request they are the
    /// same, so that nothing arrives twice.
    pub(crate) fn remote_messages(
        &self,
        sender: &UserId,
        txn: &str,
        kind: &str,
        messages: &BTreeMap<OwnedUserId, BTreeMap<Recipients, Box<RawValue>>>,
    ) -> Result<Vec<RemoteMessage>, E2eeError> {
        let mut servers: BTreeMap<OwnedServerName, Vec<Batch>> = BTreeMap::new();
        for (user, contents) in messages.iter().filter(|(user, _)| !self.data().is_local(user)) {
            let batches = servers.entry(user.server_name().to_owned()).or_default();
            for (to, content) in contents {
                let to = match to {
                    Recipients::All => "*",
                    Recipients::Device(device) => device.as_str(),
                };
                let object = check_content(content)?;
                let bytes = user.as_str().len() + to.len() + content.get().len() + 16;
                if batches.last().is_none_or(|last| last.bytes + bytes > EDU_BYTES_MAX) {
                    batches.push(Batch::default());
                }
                let Some(batch) = batches.last_mut() else { continue };
                batch.bytes += bytes;
                let of_user = batch.messages.entry(user.to_string());
                let of_user = of_user.or_insert_with(|| Value::Object(Map::new()));
                if let Some(of_user) = of_user.as_object_mut() {
                    of_user.insert(to.to_owned(), object);
                }
            }
        }
        let hash = |text: &str| self.data().parts().hash16(text);
        let mut edus = Vec::new();
        for (server, batches) in servers {
            for (index, batch) in batches.into_iter().enumerate() {
                let id = hash(&format!("{sender}\n{txn}\n{kind}\n{server}\n{index}"));
                let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
                let content = json!({
                    "sender": sender,
                    "type": kind,
                    "message_id": id,
                    "messages": batch.messages,
                });
                edus.push(RemoteMessage { server: server.clone(), content, bytes: batch.bytes });
            }
        }
        Ok(edus)
    }

    pub(crate) fn owe_message(&self, write: &mut Write, message: &RemoteMessage) {
        let RemoteMessage { server, content, .. } = message;
        self.federation().owe_edu(write, server, "m.direct_to_device", content);
    }

    /// A server brings messages of one of its users for devices here. Each is delivered once, and
    /// only to devices that exist.
    ///
    /// # Errors
    /// A message is too large, there are too many, or the store failed.
    pub async fn hear_to_device(
        &self,
        origin: &ServerName,
        brought: &DirectDeviceContent,
    ) -> Result<(), E2eeError> {
        let kind = brought.ev_type.to_string();
        let id: &TransactionId = &brought.message_id;
        if brought.sender.server_name() != origin
            || kind.len() > EVENT_TYPE_BYTES_MAX
            || id.as_str().len() > MESSAGE_ID_BYTES_MAX
        {
            return Ok(());
        }
        let local = brought.messages.iter().filter(|(user, _)| self.data().is_local(user));
        let messages: BTreeMap<_, BTreeMap<_, _>> = local
            .map(|(user, contents)| {
                let contents = contents.iter().map(|(to, content)| {
                    let to = match to {
                        DeviceIdOrAllDevices::AllDevices => Recipients::All,
                        DeviceIdOrAllDevices::DeviceId(id) => Recipients::Device(id.clone()),
                    };
                    (to, content.json().to_owned())
                });
                (user.clone(), contents.collect())
            })
            .collect();
        if messages.is_empty() {
            return Ok(());
        }
        self.queue_messages(&brought.sender, None, id, &kind, &messages, Locality::Here).await
    }
}

#[derive(Default)]
struct Batch {
    messages: Map<String, Value>,
    bytes: usize,
}
