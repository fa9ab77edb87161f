//! One event in a turn of its own.

use blaupause_data::{DataError, StreamPos, Write};
use blaupause_graph::Pdu;
use ruma::RoomId;

use super::{Standing, Way};
use crate::{Rooms, RoomsError, append::Appending, rows::InboxRow};

/// Which row of the inbox an event came from: it goes when the event has found its place.
pub(crate) type InboxKey = (StreamPos, u16);

impl Rooms {
    /// Let an event whose signatures are checked join the room. Durable when this returns, with
    /// the inbox row gone, unless something is missing.
    pub(crate) async fn take_event(
        &self,
        room: &RoomId,
        pdu: &Pdu,
        way: Way,
        inbox: Option<InboxKey>,
    ) -> Result<Standing, RoomsError> {
        self.in_turn(|| Box::pin(self.try_take(room, pdu, way, inbox))).await
    }

    async fn try_take(
        &self,
        room: &RoomId,
        pdu: &Pdu,
        way: Way,
        inbox: Option<InboxKey>,
    ) -> Result<Standing, RoomsError> {
        let mut lane = self.lane(room).await?;
        let part = lane.room()?.part;
        let mut batch = Appending::new(self, lane.room()?);
        let standing = match Box::pin(batch.take(pdu, way)).await {
            Ok(standing) => standing,
            Err(error) => {
                // A part of it may be durable.
                drop(batch);
                lane.release().forget();
                return Err(error);
            }
        };
        match standing {
            Standing::Missing(_) => {}
            Standing::Known => {
                drop(batch);
                drop(lane);
                if let Some(key) = inbox {
                    self.forget_inbox(room, &[key]).await?;
                }
            }
            _ => {
                if let Some(key) = inbox {
                    batch.write.del::<InboxRow>(part, &key);
                }
                let write = batch.finish();
                lane.commit(self.data(), write).await?;
            }
        }
        Ok(standing)
    }

    /// Events of the inbox that need no place.
    pub(crate) async fn forget_inbox(
        &self,
        room: &RoomId,
        keys: &[InboxKey],
    ) -> Result<(), DataError> {
        let part = self.data().parts().room(room);
        let mut write = Write::new(part);
        for key in keys {
            write.del::<InboxRow>(part, key);
        }
        if !write.is_empty() {
            self.data().commit(write).await?;
        }
        Ok(())
    }
}
