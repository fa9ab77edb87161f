//! What became of delayed events: those that wait and those that ended.

use blaupause_data::{Found, ReadSet};
use ruma::UserId;
use serde_json::value::RawValue;

use super::{DelayedEvent, FINISHED_LISTED_MAX, must_be_id, not_found};
use crate::{
    Rooms, RoomsError,
    rows::{Delayed, DelayedContentRow, DelayedEndRow, DelayedRow, Ending},
};

/// What is stored of a delayed event.
pub(super) struct Stored {
    pub waiting: Option<Found<Delayed>>,
    pub end: Option<(Delayed, Ending)>,
    pub content: Option<Box<RawValue>>,
}

impl Rooms {
    /// A delayed event of the user's own, waiting or ended.
    ///
    /// # Errors
    /// [`RoomsError::NotFound`].
    pub async fn delayed(&self, owner: &UserId, id: &str) -> Result<DelayedEvent, RoomsError> {
        let stored = self.stored_delayed(owner, id).await?;
        let content = stored.content.ok_or_else(not_found)?;
        let (event, ending) = match (stored.waiting, stored.end) {
            (Some(waiting), _) => (waiting.value, None),
            (None, Some((event, ending))) => (event, Some(ending)),
            (None, None) => return Err(not_found()),
        };
        Ok(DelayedEvent { id: id.to_owned(), event, content, ending })
    }

    /// The user's delayed events: those that wait, the next one first, or those that ended.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn delayed_events(
        &self,
        owner: &UserId,
        ended: bool,
    ) -> Result<Vec<DelayedEvent>, RoomsError> {
        let (data, part) = (self.data(), self.data().parts().user(owner));
        let found: Vec<(String, Delayed, Option<Ending>)> = if ended {
            let rows = data.list_all::<DelayedEndRow>(part, &(), FINISHED_LISTED_MAX).await?.rows;
            rows.into_iter().map(|(id, row)| (id, row.value.0, Some(row.value.1))).collect()
        } else {
            let most = self.settings().delayed.unwrap_or_default().waiting_max;
            let rows = data.list_all::<DelayedRow>(part, &(), most).await?.rows;
            rows.into_iter().map(|(id, row)| (id, row.value, None)).collect()
        };
        let keys = found.iter().map(|(id, ..)| (part, id));
        let contents = data.get_many::<DelayedContentRow>(keys).await?;
        let mut events: Vec<DelayedEvent> = found
            .into_iter()
            .zip(contents)
            .filter_map(|((id, event, ending), content)| {
                let content = RawValue::from_string(content?.value).ok()?;
                Some(DelayedEvent { id, event, content, ending })
            })
            .collect();
        events.sort_by_key(|event| event.event.due_ms());
        Ok(events)
    }

    pub(super) async fn stored_delayed(
        &self,
        owner: &UserId,
        id: &str,
    ) -> Result<Stored, RoomsError> {
        must_be_id(id)?;
        let (part, key) = (self.data().parts().user(owner), id.to_owned());
        let mut want = ReadSet::new();
        let waiting = want.get::<DelayedRow>(part, &key);
        let end = want.get::<DelayedEndRow>(part, &key);
        let content = want.get::<DelayedContentRow>(part, &key);
        let got = want.run(self.data()).await?;
        let content = got.one(content)?.and_then(|row| RawValue::from_string(row.value).ok());
        let (waiting, end) = (got.one(waiting)?, got.one(end)?.map(|row| row.value));
        Ok(Stored { waiting, end, content })
    }
}
