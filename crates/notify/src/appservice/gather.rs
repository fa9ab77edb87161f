//! From lines of the log to a transaction: what of it concerns a service.

mod body;
mod encryption;
mod events;
mod rooms;

use std::collections::BTreeSet;

use blaupause_accounts::{AppService, Ephemeral};
use blaupause_data::{Change, DataError, StreamPos};
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};
use serde_json::value::RawValue;

use super::{Services, interest::Interest, store::Moved};
use crate::rows::StoredService;

/// Lines of the log that are read at once.
const LINES_MAX: u32 = 500;
/// Events of one transaction; as many pieces of ephemeral data, and to-device messages.
const ITEMS_MAX: usize = 100;
/// Bytes of events, ephemeral data and messages after which a transaction is full. One more may
/// come on top, and with it all must fit into a batch of the store.
const BYTES_MAX: usize = 400_000;

/// What there is to tell.
#[derive(Default)]
struct Told {
    events: Vec<Box<RawValue>>,
    ephemeral: Vec<Box<RawValue>>,
    to_device: Vec<Box<RawValue>>,
    /// Whose device lists changed, and whose need not be followed any more.
    changed: BTreeSet<OwnedUserId>,
    left: BTreeSet<OwnedUserId>,
    /// Devices of the service whose key counts are to be told.
    counted: BTreeSet<(OwnedUserId, OwnedDeviceId)>,
    moved: Vec<Moved>,
    /// Queues that were looked at: user, device, position.
    looked_at: BTreeSet<(OwnedUserId, OwnedDeviceId, StreamPos)>,
    /// Rooms whose receipts of a position were looked at.
    receipts_of: BTreeSet<(OwnedRoomId, StreamPos)>,
    bytes: usize,
}

impl Told {
    fn is_full(&self) -> bool {
        let items = self.events.len().max(self.ephemeral.len()).max(self.to_device.len());
        items >= ITEMS_MAX || self.bytes >= BYTES_MAX
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.ephemeral.is_empty()
            && self.to_device.is_empty()
            && self.changed.is_empty()
            && self.left.is_empty()
            && self.counted.is_empty()
    }
}

/// A transaction's body and the messages that move into it.
pub(super) struct Gathered {
    pub body: String,
    pub moved: Vec<Moved>,
}

/// What a look into the log brought.
pub(super) enum Look {
    /// `StoredService` says where it ends.
    Tell(Gathered),
    /// Nothing so far, but the log goes on.
    GoOn,
    /// Nothing, to the end.
    Nothing,
}

/// One look on behalf of one service.
struct Gathering<'g> {
    services: &'g Services,
    service: &'g AppService,
    interest: &'g mut Interest,
    told: Told,
}

impl Services {
    /// Look at the log behind `row`, which then says how far was looked.
    pub(super) async fn gather(
        &self,
        service: &AppService,
        interest: &mut Interest,
        row: &mut StoredService,
    ) -> Result<Look, DataError> {
        let lines = self.data().log_after(StreamPos(row.position), LINES_MAX).await?;
        let goes_on = lines.len() >= LINES_MAX as usize;
        let mut gathering = Gathering { services: self, service, interest, told: Told::default() };
        gathering.prefetch(&lines).await?;
        for batch in lines.chunk_by(|a, b| a.0 == b.0) {
            gathering.batch(batch, row).await?;
            if gathering.told.is_full() {
                break;
            }
        }
        if !gathering.told.is_full() {
            gathering.passed(StreamPos(row.position)).await?;
        }
        if gathering.told.is_empty() {
            return Ok(if goes_on { Look::GoOn } else { Look::Nothing });
        }
        let Gathering { told, .. } = gathering;
        Ok(Look::Tell(self.body(service, told).await?))
    }
}

impl Gathering<'_> {
    /// One batch, from where `row` says on.
    async fn batch(
        &mut self,
        batch: &[(StreamPos, Change)],
        row: &mut StoredService,
    ) -> Result<(), DataError> {
        let Some((pos, _)) = batch.first() else { return Ok(()) };
        let rooms = self.rooms_of(*pos, batch).await?;
        let done = row.done as usize;
        for (at, (_, change)) in batch.iter().enumerate().skip(done) {
            self.change(*pos, change, &rooms).await?;
            let next = at + 1;
            if self.told.is_full() && next < batch.len() {
                row.position = pos.0 - 1;
                row.done = u32::try_from(next).unwrap_or(u32::MAX);
                // The rest of the batch is looked at again as from before it.
                self.interest.forget();
                return Ok(());
            }
        }
        row.position = pos.0;
        row.done = 0;
        Ok(())
    }

    async fn change(
        &mut self,
        pos: StreamPos,
        change: &Change,
        rooms: &rooms::RoomsOfBatch,
    ) -> Result<(), DataError> {
        match change {
            Change::Event { room, no } => self.event(pos, room, *no, rooms).await,
            Change::Receipt { room, .. } if self.hears_ephemeral() && rooms.concern(room) => {
                self.receipts(pos, room).await
            }
            Change::ToDevice { user, device } => self.device_messages(pos, user, device).await,
            Change::Devices { user } if self.service.encryption().device_lists => {
                self.devices(pos, user).await
            }
            Change::OneTimeKeys { user, device } if self.service.encryption().device_lists => {
                if self.service.has_user(user) {
                    self.told.counted.insert((user.clone(), device.clone()));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn hears_ephemeral(&self) -> bool {
        self.service.ephemeral() != Ephemeral::No
    }
}
