//! What relates to a redacted event goes with it, if the sender wants so (MSC3912): edits, the
//! answers to a poll, the positions of a live location.

use blaupause_data::rows::{EventNoRow, RelationRow};
use ruma::OwnedEventId;

use super::Redact;
use crate::{Rooms, RoomsError};

/// Related events that one request redacts; others stay, and a repeated request takes them.
const RELATED_MAX: u32 = 500;
/// Stands for every relation type.
const EVERY: &str = "*";

impl Rooms {
    /// As [`Rooms::redact`], and then the same for events that relate to the redacted one by the
    /// given types, as far as the sender may redact them. Each is a batch of its own.
    ///
    /// # Errors
    /// As for [`Rooms::redact`].
    pub async fn redact_with_related(
        &self,
        request: Redact,
        rel_types: &[String],
    ) -> Result<OwnedEventId, RoomsError> {
        if rel_types.is_empty() {
            return self.redact(request).await;
        }
        let related = Redact { transaction: None, ..request.clone() };
        let done = self.redact(request).await?;
        for event in self.related(&related, rel_types).await? {
            match self.redact(Redact { event, ..related.clone() }).await {
                Ok(_)
                | Err(
                    RoomsError::Forbidden(_)
                    | RoomsError::Refused(_)
                    | RoomsError::OnlyOwn
                    | RoomsError::EventUnknown,
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Ids of the events that relate to the target by one of the types.
    async fn related(
        &self,
        request: &Redact,
        rel_types: &[String],
    ) -> Result<Vec<OwnedEventId>, RoomsError> {
        let data = self.data();
        let part = data.parts().room(&request.room);
        let hash = data.parts().hash16(request.event.as_str());
        let Some(target) = data.get::<EventNoRow>(part, &hash).await? else {
            return Ok(Vec::new());
        };
        let rows = data.list::<RelationRow>(part, &target.value, RELATED_MAX).await?.rows;
        let is_wanted = |rel_type: &str| rel_types.iter().any(|t| t == EVERY || t == rel_type);
        let rows = rows.into_iter().filter(|((_, rel_type, _), _)| is_wanted(rel_type));
        let numbers: Vec<_> = rows.map(|(_, row)| (part, row.value)).collect();
        let events = data.events(&numbers).await?.into_iter().flatten();
        Ok(events.map(|event| event.stored.event_id.clone()).collect())
    }
}
