//! The event closest to a moment from which this server does not have the history: others are asked
//! (client-server API, "GET /timestamp_to_event").

use std::{sync::Arc, time::Duration};

use blaupause_data::{Event, Place, StreamPos};
use blaupause_federation::CallLimits;
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, UInt,
    api::{Direction, federation::event::get_event_by_timestamp::v1::Request},
};

use super::RoomAccess;
use crate::{RoomsError, backfill::Gap};

/// How long another server may take to say which event it is.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How often a hundred events of history are fetched to get there. Who looks for something further
/// away gets the closest event that is here.
const FILLS_MAX: usize = 10;

impl RoomAccess {
    /// As [`RoomAccess::event_at`]; where there is a gap in the history after that moment, other
    /// servers are asked, and what lies between is fetched as far as it is not too much.
    ///
    /// # Errors
    /// As there. That nobody answers is no error.
    pub async fn event_near(&self, ts: u64, dir: Direction) -> Result<Arc<Event>, RoomsError> {
        let here = match self.event_at(ts, dir).await {
            Ok(event) => Some(event),
            Err(RoomsError::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(event) = Box::pin(self.event_elsewhere(ts, dir, here.as_deref())).await? {
            return Ok(event);
        }
        here.ok_or(RoomsError::NotFound("event"))
    }

    async fn event_elsewhere(
        &self,
        ts: u64,
        dir: Direction,
        here: Option<&Event>,
    ) -> Result<Option<Arc<Event>>, RoomsError> {
        if here.is_some_and(|event| event.origin_server_ts == ts)
            || self.last_place().is_some()
            || self.gap_behind(ts).await?.is_none()
        {
            return Ok(None);
        }
        let is_closer = |there: u64| match dir {
            Direction::Forward => {
                there >= ts && here.is_none_or(|here| there < here.origin_server_ts)
            }
            Direction::Backward => {
                there <= ts && here.is_none_or(|here| there > here.origin_server_ts)
            }
        };
        let at = MilliSecondsSinceUnixEpoch(UInt::new_saturating(ts));
        for server in self.rooms.who_may_know(&self.room).await? {
            let request = Request::new(self.room.clone(), at, dir);
            let limits = CallLimits::default().within(ANSWER_TIME);
            let answer = self.rooms.federation().call_within(&server, request, limits).await;
            let Ok(there) = answer else { continue };
            if !is_closer(there.origin_server_ts.get().into()) {
                continue;
            }
            let found = self.fetch(&there.event_id, ts).await?;
            // The other server may say what it likes of the time; the event itself counts.
            if let Some(event) = found.filter(|event| is_closer(event.origin_server_ts)) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// An event in the history, after what lies between was fetched.
    async fn fetch(&self, id: &EventId, ts: u64) -> Result<Option<Arc<Event>>, RoomsError> {
        for _ in 0..FILLS_MAX {
            let known = self.events_by_id(&[id.to_owned()]).await?.pop().flatten();
            let known = known.map(|known| known.event).filter(|event| event.place.is_some());
            if known.is_some() {
                return Ok(known);
            }
            let Some(gap) = self.gap_behind(ts).await? else { break };
            if !Box::pin(self.rooms.fill(&self.room, &gap)).await? {
                break;
            }
        }
        let known = self.events_by_id(&[id.to_owned()]).await?.pop().flatten();
        Ok(known.map(|known| known.event).filter(|event| event.place.is_some()))
    }

    /// The first gap in the history behind a moment.
    async fn gap_behind(&self, ts: u64) -> Result<Option<Gap>, RoomsError> {
        let at = self.rooms.gap_at(self.part, None, ts).await?.and_then(Place::position);
        let Some(at) = at else { return Ok(None) };
        self.rooms.oldest_gap(&self.room, Place::after(StreamPos(at.0.saturating_sub(1)))).await
    }
}
