//! Complaints, kept for the operators.

use blaupause_data::{DIRECTORY, Member, NOW, Write};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

use crate::{
    Rooms, RoomsError,
    rows::{ReportRow, StoredReport},
};

/// Characters of a reason that are kept; the rest is cut.
const REASON_CHARS_MAX: usize = 2_000;

/// What is complained about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    Event { room: OwnedRoomId, event: OwnedEventId },
    Room(OwnedRoomId),
    User(OwnedUserId),
}

/// Somebody complains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub reporter: OwnedUserId,
    pub about: Reported,
    pub reason: Option<String>,
    /// From -100 (most offensive) to 0, from old clients.
    pub score: Option<i64>,
}

impl Rooms {
    /// Keep a report. Durable when this returns.
    ///
    /// # Errors
    /// [`RoomsError::EventUnknown`] if the reporter is not in the event's room or it has no such
    /// event: which of the two is not told. [`RoomsError::RoomUnknown`] for a room that this
    /// server does not know. Unknown people can be reported: an answer would tell who exists.
    pub async fn report(&self, report: Report) -> Result<(), RoomsError> {
        let (mut room, mut event, mut user) = (None, None, None);
        match report.about {
            Reported::Event { room: in_room, event: id } => {
                let row = self.data().membership(&report.reporter, &in_room).await?;
                row.filter(|row| row.membership == Member::Join && row.room_id == in_room)
                    .ok_or(RoomsError::EventUnknown)?;
                let part = self.data().parts().room(&in_room);
                self.event_no(part, &id).await?.ok_or(RoomsError::EventUnknown)?;
                (room, event) = (Some(in_room), Some(id));
            }
            Reported::Room(id) => {
                self.head(&id).await?.ok_or(RoomsError::RoomUnknown)?;
                room = Some(id);
            }
            Reported::User(id) => user = Some(id),
        }
        let cut = |reason: String| reason.chars().take(REASON_CHARS_MAX).collect();
        let reason = report.reason.map(cut);
        let at = self.data().env().now_millis();
        let (reporter, score) = (report.reporter, report.score);
        let row = StoredReport { reporter, at, room, event, user, reason, score };
        let mut write = Write::new(DIRECTORY);
        write.put::<ReportRow>(DIRECTORY, &NOW, &row);
        self.data().commit(write).await?;
        Ok(())
    }
}
