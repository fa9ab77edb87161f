//! The time of a delayed event has come: it is said as if its owner said it now.

use blaupause_data::{Found, ReadSet};
use blaupause_graph::Draft;
use ruma::{
    OwnedEventId, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::value::RawValue;

use crate::{
    Redact, Rooms, RoomsError, SendEvent, SendState, Transaction,
    append::Appending,
    rows::{Delayed, DelayedRow, DelayedStickyRow, EventDelayRow, Outcome},
    validate,
};

impl Rooms {
    /// Send a waiting event; `None` if somebody else has ended or restarted it meanwhile.
    ///
    /// # Errors
    /// Why it cannot be sent; then it still waits.
    pub(super) async fn fire(
        &self,
        owner: &UserId,
        id: &str,
        waiting: &Found<Delayed>,
        content: &RawValue,
    ) -> Result<Option<OwnedEventId>, RoomsError> {
        self.may_speak(owner).await?;
        let kind = TimelineEventType::from(waiting.kind.as_str());
        // What has a way of its own is noted in a batch of its own. Between the two it is safe to
        // do it again: the transaction finds its redaction, and a membership that is as it should
        // be makes no event.
        let event = match &waiting.state_key {
            None if kind == TimelineEventType::RoomRedaction => {
                self.fire_redaction(owner, id, waiting, content).await?
            }
            Some(key) if waiting.state_type() == StateEventType::RoomMember => {
                let state = SendState {
                    room: waiting.room_id.clone(),
                    sender: owner.to_owned(),
                    kind: StateEventType::RoomMember,
                    state_key: key.clone(),
                    content: content.to_owned(),
                    timestamp: None,
                    sticky_ms: None,
                };
                self.send_state(state).await?
            }
            _ => return self.fire_in_one_batch(owner, id, waiting, content).await,
        };
        let outcome = Outcome::Sent(event.clone());
        match self.end_delayed(owner, id, waiting, outcome).await {
            Err(error) if error.is_conflict() => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(Some(event)),
        }
    }

    /// Whoever may not speak any more does not do so by having spoken earlier.
    async fn may_speak(&self, owner: &UserId) -> Result<(), RoomsError> {
        let account = self.accounts().account(owner).await?;
        let is_silent = account.is_some_and(|it| it.suspended || it.locked || it.deactivated);
        if is_silent {
            return Err(RoomsError::Forbidden("the account may not send events"));
        }
        Ok(())
    }

    async fn fire_redaction(
        &self,
        owner: &UserId,
        id: &str,
        waiting: &Found<Delayed>,
        content: &RawValue,
    ) -> Result<OwnedEventId, RoomsError> {
        let transaction = Transaction { device: String::new(), id: format!("delayed {id}") };
        let event = SendEvent {
            room: waiting.room_id.clone(),
            sender: owner.to_owned(),
            kind: TimelineEventType::RoomRedaction,
            content: content.to_owned(),
            transaction: Some(transaction),
            timestamp: None,
            sticky_ms: None,
        };
        self.redact(Redact::try_from(event)?).await
    }

    /// The event and the end of the waiting, all or nothing.
    async fn fire_in_one_batch(
        &self,
        owner: &UserId,
        id: &str,
        waiting: &Found<Delayed>,
        content: &RawValue,
    ) -> Result<Option<OwnedEventId>, RoomsError> {
        self.check_delayed(owner, waiting, content).await?;
        let (part, key) = (self.data().parts().user(owner), id.to_owned());
        self.in_turn(|| {
            Box::pin(async {
                let mut lane = self.lane(&waiting.room_id).await?;
                // A conflict may come from the room or from the delay: only the first is tried
                // again.
                let mut want = ReadSet::new();
                let now = want.get::<DelayedRow>(part, &key);
                let sticky = want.get::<DelayedStickyRow>(part, &key);
                let got = want.run(self.data()).await?;
                let (now, sticky) = (got.one(now)?, got.one(sticky)?.map(|row| row.value));
                if now.is_none_or(|now| now.version != waiting.version) {
                    return Ok(None);
                }
                let mut batch = Appending::new(self, lane.room()?);
                let draft = self.delayed_draft(owner, waiting, content).sticky(sticky);
                if let Some(same) = batch.says_already(&draft).await? {
                    let event = same.event_id().to_owned();
                    let outcome = Outcome::Sent(event.clone());
                    self.end_delayed(owner, &key, waiting, outcome).await?;
                    return Ok(Some(event));
                }
                let event = batch.push(draft).await?.event_id().to_owned();
                let no = batch.last_no();
                batch.write.put::<EventDelayRow>(batch.part(), &no, &key);
                let outcome = Outcome::Sent(event.clone());
                self.write_end(&mut batch.write, owner, &key, waiting, outcome);
                let write = batch.finish();
                lane.commit(self.data(), write).await?;
                Ok(Some(event))
            })
        })
        .await
    }

    async fn check_delayed(
        &self,
        owner: &UserId,
        waiting: &Found<Delayed>,
        content: &RawValue,
    ) -> Result<(), RoomsError> {
        match &waiting.state_key {
            None => {
                let kind = TimelineEventType::from(waiting.kind.as_str());
                validate::message(&kind, content)
            }
            Some(key) => {
                let state = SendState {
                    room: waiting.room_id.clone(),
                    sender: owner.to_owned(),
                    kind: waiting.state_type(),
                    state_key: key.clone(),
                    content: content.to_owned(),
                    timestamp: None,
                    sticky_ms: None,
                };
                self.check_state(&state).await
            }
        }
    }

    fn delayed_draft(&self, owner: &UserId, waiting: &Delayed, content: &RawValue) -> Draft {
        let draft = Draft::new(
            Some(waiting.room_id.clone()),
            owner.to_owned(),
            TimelineEventType::from(waiting.kind.as_str()),
            content.to_owned(),
            self.data().env().now(),
        );
        match &waiting.state_key {
            Some(key) => draft.state_key(key.clone()),
            None => draft,
        }
    }
}
