//! The inbox is emptied: a task for each room with events that wait, so that a slow one stops no
//! other.

mod ends;
mod room;
mod work;

use std::sync::Arc;

use blaupause_data::DIRECTORY;
use ruma::{EventId, RoomId, ServerName};
use serde_json::value::RawValue;

use blaupause_graph::{Pdu, Refusal, Unverified};

pub(crate) use work::Inbox;

use crate::{
    Rooms, RoomsError,
    gather::Gathered,
    remote_append::{Standing, Way, has_standing},
    rows::InboxRoomRow,
};

/// Rooms with events that wait, when the server starts.
const ROOMS_MAX: u32 = 1_000_000;
/// How often what an event lacks is gathered while somebody waits for it.
const GATHERED_MAX: usize = 3;

/// An event that another server handed over is part of the room.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The event, with its content if the hash was right.
    pub pdu: Pdu,
}

impl Rooms {
    /// Judge what waits in the inbox, and what will come, until the server stops.
    pub async fn run_intake(self) {
        let stop = self.data().env().stop().clone();
        if let Err(error) = self.resume_intake().await {
            tracing::error!(%error, "the inbox cannot be read: events that wait are judged later");
        }
        loop {
            let room = tokio::select! {
                () = stop.cancelled() => return,
                room = self.inbox().next() => room,
            };
            let rooms = self.clone();
            self.data().env().spawn(async move { Box::pin(rooms.empty_inbox(&room)).await });
        }
    }

    /// Rooms whose events waited when the server stopped.
    async fn resume_intake(&self) -> Result<(), RoomsError> {
        let rows = self.data().list_all::<InboxRoomRow>(DIRECTORY, &(), ROOMS_MAX).await?;
        for (room, ()) in rows.rows.into_iter().map(|(room, row)| (room, row.value)) {
            self.inbox().wake(&room);
        }
        Ok(())
    }

    /// Judge everything that waits, now; for tests, where no worker runs.
    pub async fn intake(&self) {
        if let Err(error) = self.resume_intake().await {
            tracing::error!(%error, "the inbox cannot be read");
        }
        while let Some(room) = self.inbox().try_next() {
            Box::pin(self.empty_inbox(&room)).await;
        }
    }

    /// Let an event that another server handed over in a request join its room, now: who calls
    /// this has checked that it is what the request is for. Durable when this returns.
    ///
    /// # Errors
    /// [`RoomsError::RoomUnknown`]; [`RoomsError::Refused`] if the event is malformed or wrongly
    /// signed, if the room does not allow it, or what it names cannot be had.
    pub(crate) async fn accept(
        &self,
        origin: &ServerName,
        room: &RoomId,
        raw: Box<RawValue>,
    ) -> Result<Accepted, RoomsError> {
        let rules = self.lane(room).await?.room()?.rules.clone();
        let event = Unverified::parse(&raw, &rules)?;
        if event.room_id() != room {
            return Err(Refusal::Misplaced(event.event_id().to_owned()).into());
        }
        let keys = self.federation().keys_for([&event], &rules).await;
        let keys = keys.of(&event);
        let pdu = event.verify(&keys, &rules)?;
        for _ in 0..GATHERED_MAX {
            match self.take_event(room, &pdu, Way::Live, None).await? {
                Standing::Live | Standing::Aside => return Ok(Accepted { pdu }),
                Standing::Known => {
                    self.must_be_accepted(room, pdu.event_id()).await?;
                    return Ok(Accepted { pdu });
                }
                Standing::Rejected(why) | Standing::SoftFailed(why) => {
                    return Err(Refusal::NotAllowed(why).into());
                }
                Standing::Missing(missing) => {
                    let gather = Box::pin(self.gather(origin, room, &rules, &pdu, &missing));
                    if gather.await? == Gathered::Never {
                        break;
                    }
                }
            }
        }
        Err(Refusal::NotAllowed("events that it names cannot be had".to_owned()).into())
    }

    /// An event that was here before may be one that was refused.
    async fn must_be_accepted(&self, room: &RoomId, event: &EventId) -> Result<(), RoomsError> {
        let part = self.data().parts().room(room);
        let event = match self.event_no(part, &event.to_owned()).await? {
            Some(no) => self.data().event(part, no).await?,
            None => None,
        };
        let refused = event.is_none_or(|event: Arc<_>| {
            let stored = &event.stored;
            stored.rejected || stored.soft_failed || !has_standing(stored)
        });
        if refused {
            return Err(Refusal::NotAllowed("it was refused before".to_owned()).into());
        }
        Ok(())
    }
}
