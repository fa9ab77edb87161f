//! A kick or ban can take with it what its member said (MSC4293): no redaction is sent, the member
//! event stands for all of them.
//!
//! The batch of the member event notes it in the log, and the follower does the work: a page of
//! the timeline at a time, and what is done is not done again.

use std::{collections::BTreeMap, ops::Bound};

use blaupause_data::{Change, Event, Member, Order, Place, ReadSet, rows::TimelineRow};
use blaupause_graph::{EventNo, Pdu, power_level};
use ruma::{
    Int, OwnedUserId, RoomId,
    events::{StateEventType, TimelineEventType, room::power_levels::UserPowerLevel},
    state_res::events::{RoomPowerLevelsEvent, RoomPowerLevelsIntField},
};
use serde::Deserialize;

use super::is_kept;
use crate::{Rooms, RoomsError, append::Appending, load::pdu_of, member_rows::Membership};

/// The field of a member event, as long as the proposal is not part of the specification.
pub(crate) const FIELD: &str = "org.matrix.msc4293.redact_events";
/// Entries of a timeline that one batch looks at.
const PAGE_MAX: u32 = 100;
/// Changes of name of somebody who stayed in the room that are looked past.
const NAMES_MAX: usize = 100;

impl Appending<'_> {
    /// Note that all that a member said is to go, if their new event says so and its sender may.
    pub(crate) fn note_sweep(&mut self, pdu: &Pdu, no: EventNo, before: Option<&Pdu>) {
        if wants_sweep(pdu, before) && self.may_redact_all(pdu) {
            self.write.change(&Change::Swept { room: self.head.room_id.clone(), no });
        }
    }

    /// The level for redactions, and that for sending them, if the room names one. The power
    /// levels were looked up when the event was authorized.
    fn may_redact_all(&self, pdu: &Pdu) -> bool {
        let (view, rules) = (self.view(), &self.hot.rules);
        let Ok(level) = power_level(pdu.sender(), &view, rules) else { return false };
        let field = RoomPowerLevelsIntField::Redact;
        let levels = self.state(&StateEventType::RoomPowerLevels, "");
        let levels = levels.map(RoomPowerLevelsEvent::new);
        let rules = &rules.authorization;
        let (redact, sending): (Option<Int>, Option<BTreeMap<_, _>>) = match &levels {
            Some(levels) => (
                levels.get_as_int_or_default(field, rules).ok(),
                levels.events(rules).ok().flatten(),
            ),
            None => (None, None),
        };
        let sending = sending.and_then(|it| it.get(&TimelineEventType::RoomRedaction).copied());
        let needed = [Some(redact.unwrap_or_else(|| field.default_value())), sending];
        needed.into_iter().flatten().all(|needed| level >= UserPowerLevel::Int(needed))
    }
}

/// Only a kick or ban by somebody else, of somebody who was something to the room. To lift a ban
/// is no kick.
fn wants_sweep(pdu: &Pdu, before: Option<&Pdu>) -> bool {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "org.matrix.msc4293.redact_events")]
        redact_events: bool,
    }
    let by_another = pdu.state_key().is_some_and(|of| of != pdu.sender().as_str());
    let asked = || pdu.content_as::<Content>().is_ok_and(|content| content.redact_events);
    let Some(before) = before else { return false };
    let (was, is) = (Membership::of(before).member, Membership::of(pdu).member);
    let is_gone = match is {
        Member::Ban => true,
        Member::Leave => was != Member::Ban,
        Member::Join | Member::Invite | Member::Knock => false,
    };
    by_another && is_gone && asked()
}

impl Rooms {
    /// Take away what a member said since they were in the room. `no`: their new event.
    pub(crate) async fn sweep(&self, room: &RoomId, no: EventNo) -> Result<(), RoomsError> {
        let part = self.data().parts().room(room);
        let Some(event) = self.data().event(part, no).await? else { return Ok(()) };
        let user = event.state_key.as_deref().and_then(|key| OwnedUserId::try_from(key).ok());
        let (Some(user), Some(mut upto)) = (user, event.place) else { return Ok(()) };
        let from = self.began(&event, room).await?;
        loop {
            let page = self.in_turn(|| Box::pin(self.sweep_page(room, &user, no, from, upto)));
            match page.await {
                Ok(Some(next)) => upto = next,
                Ok(None) | Err(RoomsError::RoomUnknown) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Where the membership began that an event ended: who changes their name on the way stays.
    async fn began(&self, ended: &Event, room: &RoomId) -> Result<Place, RoomsError> {
        #[derive(Deserialize)]
        struct Content {
            membership: String,
        }
        let part = self.data().parts().room(room);
        let mut place = Place::START;
        let mut before = ended.stored.replaces;
        for _ in 0..NAMES_MAX {
            let Some(no) = before else { break };
            let Some(event) = self.data().event(part, no).await? else { break };
            let content = event.content_as::<Content>();
            let joined = content.is_some_and(|content| content.membership == "join");
            if !joined && place != Place::START {
                break;
            }
            place = event.place.unwrap_or(place);
            if !joined {
                break;
            }
            before = event.stored.replaces;
        }
        Ok(place)
    }

    /// One page, backward. Says where to go on.
    async fn sweep_page(
        &self,
        room: &RoomId,
        user: &OwnedUserId,
        by: EventNo,
        from: Place,
        upto: Place,
    ) -> Result<Option<Place>, RoomsError> {
        let mut lane = self.lane(room).await?;
        let hot = lane.room()?;
        let (part, rules) = (hot.part, hot.rules.clone());
        let mut want = ReadSet::new();
        let (lo, hi) = (Bound::Included(&from), Bound::Excluded(&upto));
        let rows = want.range::<TimelineRow>(part, lo, hi, Order::Backward, PAGE_MAX);
        let rows = want.run(self.data()).await?.many(rows)?.rows;
        let next = rows.last().map(|(place, _)| *place);
        let next = next.filter(|_| rows.len() == PAGE_MAX as usize);
        let numbers: Vec<_> = rows.iter().map(|(_, row)| (part, row.no)).collect();
        let events = self.data().events(&numbers).await?.into_iter().flatten();
        let theirs: Vec<_> = events
            .filter(|event| event.sender == *user && event.stored.redacted_by.is_none())
            .filter(|event| event.state_key.is_none() || !is_kept(&event.kind))
            .collect();
        if theirs.is_empty() {
            return Ok(next);
        }
        let mut batch = Appending::new(self, hot);
        for event in theirs {
            let pdu = pdu_of(&event, &rules)?;
            batch.take_content(&event, &pdu, by).await?;
        }
        let write = batch.finish();
        lane.commit(self.data(), write).await?;
        Ok(next)
    }
}
