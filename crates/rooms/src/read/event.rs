//! Single events of a room.

use std::{fmt, sync::Arc};

use blaupause_data::{
    Event,
    rows::{EventNoRow, EventRoomRow},
};
use ruma::{EventId, OwnedEventId};
use serde_json::value::RawValue;

use super::{Reader, RoomAccess};
use crate::{Rooms, RoomsError};

/// An event of a room that somebody may see. Only [`RoomAccess::event`] makes one: an event of
/// another room, or from a time that is closed to the reader, never becomes one.
#[derive(Clone)]
pub struct EventInRoom {
    pub(crate) access: RoomAccess,
    pub(crate) event: Arc<Event>,
}

impl Rooms {
    /// An event by its id alone.
    ///
    /// # Errors
    /// [`RoomsError::EventUnknown`] if there is none, or none that the reader may see.
    pub async fn event(&self, reader: &Reader, id: &EventId) -> Result<EventInRoom, RoomsError> {
        let (data, id) = (self.data(), id.to_owned());
        let room = data.get::<EventRoomRow>(data.parts().event(&id), &id).await?;
        let room = room.ok_or(RoomsError::EventUnknown)?.value;
        match self.access(reader, &room).await {
            Ok(access) => access.event(&id).await,
            Err(RoomsError::NotJoined) => Err(RoomsError::EventUnknown),
            Err(error) => Err(error),
        }
    }
}

impl RoomAccess {
    /// An event by its id.
    ///
    /// # Errors
    /// [`RoomsError::EventUnknown`] if this room has none, or none that the reader may see.
    pub async fn event(&self, id: &EventId) -> Result<EventInRoom, RoomsError> {
        let found = self.events_by_id(&[id.to_owned()]).await?.pop().flatten();
        found.ok_or(RoomsError::EventUnknown)
    }

    /// Events by their ids, in the order asked; `None` for those that this room does not have or
    /// that the reader may not see.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn events_by_id(
        &self,
        ids: &[OwnedEventId],
    ) -> Result<Vec<Option<EventInRoom>>, RoomsError> {
        let data = self.rooms.data();
        let hashes: Vec<_> = ids.iter().map(|id| data.parts().hash16(id.as_str())).collect();
        let keys = hashes.iter().map(|hash| (self.part, hash));
        let numbers = data.get_many::<EventNoRow>(keys).await?;
        let wanted: Vec<_> =
            numbers.iter().flatten().map(|number| (self.part, number.value)).collect();
        let mut events = data.events(&wanted).await?.into_iter();
        let events: Vec<_> = numbers
            .iter()
            .map(|number| number.as_ref().and_then(|_| events.next()?))
            .zip(ids)
            // The hash is short: the id decides.
            .map(|(event, id)| event.filter(|event| event.stored.event_id == *id))
            .collect();
        let until = self.joined_until();
        let lens =
            self.rooms.lens(&self.reader.user, self.part, until, events.iter().flatten()).await?;
        Ok(events
            .into_iter()
            .map(|event| {
                let event = event.filter(|event| self.reaches(event) && lens.sees(event))?;
                Some(EventInRoom { access: self.clone(), event })
            })
            .collect())
    }
}

impl fmt::Debug for EventInRoom {
    /// Names the event; its content may be private and stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventInRoom").field(&self.event.stored.event_id).finish()
    }
}

impl EventInRoom {
    /// The event as stored.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The event as the reader sees it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn json(&self) -> Result<Box<RawValue>, RoomsError> {
        let mut page = self.access.serialize_page(std::slice::from_ref(&self.event)).await?;
        page.pop().ok_or(RoomsError::EventUnknown)
    }
}
