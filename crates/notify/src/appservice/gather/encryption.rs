//! What a service needs for end-to-end encryption: to-device messages (MSC4203), and whose device
//! lists and which key counts changed (MSC3202).

use std::ops::Bound;

use blaupause_accounts::Ephemeral;
use blaupause_data::{DataError, Event, Member, Order, ReadSet, StreamPos};
use blaupause_e2ee::rows::ToDeviceRow;
use ruma::{DeviceId, OwnedUserId, RoomId, UserId};
use serde_json::{Map, Value};

use super::{Gathering, rooms::RoomsOfBatch};
use crate::appservice::interest::membership_in;

/// Messages for one device in one batch.
const MESSAGES_MAX: u32 = 1_000;
/// Members of a room whose device lists a service hears of when it enters. The keys of others it
/// looks up when it meets them.
const ENTERED_MEMBERS_MAX: usize = 1_000;

impl Gathering<'_> {
    /// Messages that were queued in a batch for a device of the service. Who has the name for
    /// itself alone has them moved out of the device's queue; otherwise somebody may sync with the
    /// same device, and they stay.
    pub(super) async fn device_messages(
        &mut self,
        pos: StreamPos,
        user: &OwnedUserId,
        device: &DeviceId,
    ) -> Result<(), DataError> {
        let wants_messages =
            self.service.ephemeral() != Ephemeral::No || self.service.encryption().device_lists;
        if !wants_messages || !self.service.has_user(user) {
            return Ok(());
        }
        // A batch has a line for each message.
        if !self.told.looked_at.insert((user.clone(), device.to_owned(), pos)) {
            return Ok(());
        }
        let data = self.services.data();
        let at = (device.to_string(), pos);
        let mut want = ReadSet::new();
        let rows = want.range::<ToDeviceRow>(
            data.parts().user(user),
            Bound::Included(&at),
            Bound::Included(&at),
            Order::Forward,
            MESSAGES_MAX,
        );
        let rows = want.run(data).await?.many(rows)?.rows;
        for (key, row) in rows {
            let Some(json) = addressed(&row.value.json, user, device) else { continue };
            self.told.bytes += json.get().len();
            self.told.to_device.push(json);
            if self.service.owns_user(user) {
                self.told.moved.push((user.clone(), key));
            }
            if self.service.encryption().device_lists {
                self.told.counted.insert((user.clone(), device.to_owned()));
            }
        }
        Ok(())
    }

    /// Somebody's devices or keys changed.
    pub(super) async fn devices(&mut self, pos: StreamPos, user: &UserId) -> Result<(), DataError> {
        let concerns = self.service.has_user(user)
            || self.interest.shares_room(self.services, self.service, user, pos).await?;
        if concerns {
            self.told.left.remove(user);
            self.told.changed.insert(user.to_owned());
        }
        Ok(())
    }

    /// Somebody came to a room of the service, or went.
    pub(super) async fn moved_in_room(
        &mut self,
        pos: StreamPos,
        room: &RoomId,
        event: &Event,
        replaced: Option<&Event>,
        rooms: &RoomsOfBatch,
    ) -> Result<(), DataError> {
        let target = event.state_key.as_deref().and_then(|key| OwnedUserId::try_from(key).ok());
        let Some(target) = target else { return Ok(()) };
        let was = replaced.and_then(membership_in) == Some(Member::Join);
        let is = membership_in(event) == Some(Member::Join);
        match (was, is) {
            (false, true) => {
                if rooms.was_entered(room) && self.service.has_user(&target) {
                    let members = self.services.data().members(room, Member::Join).await?;
                    let members = members.into_iter().take(ENTERED_MEMBERS_MAX);
                    self.told.changed.extend(members.map(|member| member.user_id));
                }
                self.told.left.remove(&target);
                self.told.changed.insert(target);
            }
            (true, false)
                if !self.service.has_user(&target)
                    && !self
                        .interest
                        .shares_room(self.services, self.service, &target, pos)
                        .await? =>
            {
                self.told.changed.remove(&target);
                self.told.left.insert(target);
            }
            _ => {}
        }
        Ok(())
    }
}

/// A message as services get it: it says to whom it goes.
fn addressed(
    json: &str,
    user: &UserId,
    device: &DeviceId,
) -> Option<Box<serde_json::value::RawValue>> {
    let mut message: Map<String, Value> = serde_json::from_str(json).ok()?;
    message.insert("to_user_id".to_owned(), user.as_str().into());
    message.insert("to_device_id".to_owned(), device.as_str().into());
    serde_json::value::to_raw_value(&message).ok()
}
