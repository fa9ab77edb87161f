//! `GET /event/{eventId}`: one event, whatever room it is in.

use blaupause_data::rows::EventRoomRow;
use ruma::{EventId, ServerName};
use serde_json::value::RawValue;

use crate::{Rooms, RoomsError};

impl Rooms {
    /// One event for another server.
    ///
    /// # Errors
    /// [`RoomsError::EventUnknown`] if it is not known, [`RoomsError::Forbidden`] if it is not for
    /// that server.
    pub async fn event_for_server(
        &self,
        server: &ServerName,
        id: &EventId,
    ) -> Result<Box<RawValue>, RoomsError> {
        let home = self.data().parts().event(id);
        let room = self.data().get::<EventRoomRow>(home, &id.to_owned()).await?;
        let room = room.ok_or(RoomsError::EventUnknown)?.value;
        let id = id.to_owned();
        let access = self.server_access_before(server, &room, std::slice::from_ref(&id)).await;
        let access = match access {
            Ok(access) => access,
            Err(RoomsError::RoomUnknown) => return Err(RoomsError::EventUnknown),
            Err(error) => return Err(error),
        };
        let event = access.known_event(&id).await?;
        access.shown(vec![event]).await?.pop().ok_or(RoomsError::EventUnknown)
    }
}
