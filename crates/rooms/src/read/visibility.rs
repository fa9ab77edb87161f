//! What a reader may see of a page of events: one look at the state for the whole page.
//!
//! Rule: client-server API, "Room history visibility"; the decision itself is in `graph`.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use blaupause_data::{Event, Member, Part, Place};
use blaupause_graph::{Sight, StateRoot, visible};
use ruma::{
    RoomId, UserId,
    events::room::{history_visibility::HistoryVisibility, member::MembershipState},
};
use serde::Deserialize;

use super::names::KeyName;
use crate::{Rooms, RoomsError};

const MEMBER: &str = "m.room.member";
const VISIBILITY: &str = "m.room.history_visibility";

/// The state keys that decide what somebody sees.
pub(crate) fn sight_names(part: Part, user: &UserId) -> [(Part, KeyName); 2] {
    [(part, (VISIBILITY.to_owned(), String::new())), (part, (MEMBER.to_owned(), user.to_string()))]
}

/// The membership that a member event gives; `leave` if there is none or it is malformed.
pub(crate) fn membership_in(event: Option<&Event>) -> MembershipState {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    event
        .and_then(|event| event.content_as::<Content>())
        .map_or(MembershipState::Leave, |content| content.membership)
}

/// The visibility that an event gives; `shared` if there is none or it is malformed.
pub(crate) fn visibility_in(event: Option<&Event>) -> HistoryVisibility {
    #[derive(Deserialize)]
    struct Content {
        history_visibility: HistoryVisibility,
    }
    event
        .and_then(|event| event.content_as::<Content>())
        .map_or(HistoryVisibility::Shared, |content| content.history_visibility)
}

/// Until when somebody has been joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinedUntil {
    Now,
    /// The place of the event with which they left.
    Left(Place),
    Never,
}

impl JoinedUntil {
    /// Whether they were joined at some time after an event.
    fn after(self, event: &Event) -> bool {
        match self {
            Self::Now => true,
            Self::Left(at) => event.place.is_some_and(|place| place < at),
            Self::Never => false,
        }
    }
}

/// What the state said about one reader around some events.
pub(crate) struct Lens {
    part: Part,
    user: String,
    joined_until: JoinedUntil,
    sights: HashMap<StateRoot, Sight>,
}

impl Lens {
    /// Whether the reader may see an event that the lens was made for.
    pub(crate) fn sees(&self, event: &Event) -> bool {
        let stored = &event.stored;
        if stored.rejected || stored.soft_failed || event.is_expired() {
            return false;
        }
        let Some(before) = self.sights.get(&stored.state_before) else { return false };
        let about = event.kind == VISIBILITY
            || (event.kind == MEMBER && event.state_key.as_deref() == Some(&self.user));
        let after = self.sights.get(&stored.state_after).filter(|_| about);
        visible(before, after, self.joined_until.after(event))
    }

    pub(crate) fn set_joined_until(&mut self, until: JoinedUntil) {
        self.joined_until = until;
    }

    /// The reader's membership at an event, with what the event itself changes (client-server
    /// API, `UnsignedData.membership`).
    pub(crate) fn membership(&self, event: &Event) -> Option<&MembershipState> {
        self.sights.get(&event.stored.state_after).map(|sight| &sight.membership)
    }
}

impl Rooms {
    /// A lens for some events. Without cached pages as many round trips as the state tree is
    /// high, and one for the events found; usually none.
    pub(crate) async fn lens<'e>(
        &self,
        user: &UserId,
        part: Part,
        joined_until: JoinedUntil,
        events: impl IntoIterator<Item = &'e Arc<Event>>,
    ) -> Result<Lens, RoomsError> {
        let sights = HashMap::new();
        let mut lens = Lens { part, user: user.to_string(), joined_until, sights };
        self.widen(&mut lens, events).await?;
        Ok(lens)
    }

    /// Make a lens fit for more events.
    pub(crate) async fn widen<'e>(
        &self,
        lens: &mut Lens,
        events: impl IntoIterator<Item = &'e Arc<Event>>,
    ) -> Result<(), RoomsError> {
        let roots: BTreeSet<StateRoot> = events
            .into_iter()
            .flat_map(|event| [event.stored.state_before, event.stored.state_after])
            .filter(|root| !lens.sights.contains_key(root))
            .collect();
        let roots: Vec<_> = roots.into_iter().collect();
        if roots.is_empty() {
            return Ok(());
        }
        let data = self.data();
        let names = [
            (lens.part, (VISIBILITY.to_owned(), String::new())),
            (lens.part, (MEMBER.to_owned(), lens.user.clone())),
        ];
        let numbers = self.key_numbers().get(data, names).await?;
        let known: Vec<_> = numbers.iter().flatten().copied().collect();
        let found = data.state_get_at(lens.part, &roots, &known).await?;
        // One event each for most pages, however many roots.
        let wanted: BTreeSet<_> = found.iter().flatten().flatten().copied().collect();
        let wanted: Vec<_> = wanted.into_iter().map(|no| (lens.part, no)).collect();
        let events = data.events(&wanted).await?;
        let events: HashMap<_, _> =
            events.into_iter().flatten().map(|event| (event.no, event)).collect();
        for (root, found) in roots.into_iter().zip(found) {
            let mut found = found.into_iter();
            let mut at = numbers.iter().map(|number| {
                let no = number.and_then(|_| found.next()?);
                no.and_then(|no| events.get(&no)).map(|event| &**event)
            });
            let visibility = visibility_in(at.next().flatten());
            let membership = membership_in(at.next().flatten());
            lens.sights.insert(root, Sight { visibility, membership });
        }
        Ok(())
    }

    /// The room's history visibility at a state.
    pub(crate) async fn history_visibility(
        &self,
        part: Part,
        state: StateRoot,
    ) -> Result<HistoryVisibility, RoomsError> {
        let name = (part, (VISIBILITY.to_owned(), String::new()));
        let data = self.data();
        let number = self.key_numbers().get(data, [name]).await?.pop().flatten();
        let Some(number) = number else { return Ok(HistoryVisibility::Shared) };
        let event = match data.state_get(part, state, &[number]).await?.pop().flatten() {
            Some(no) => data.event(part, no).await?,
            None => None,
        };
        Ok(visibility_in(event.as_deref()))
    }

    /// Until when a user has been joined to a room. One round trip, and a few for those who left.
    pub(crate) async fn joined_until(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<JoinedUntil, RoomsError> {
        let mine = self.data().membership(user, room).await?;
        let Some(mine) = mine.filter(|mine| mine.room_id == room) else {
            return Ok(JoinedUntil::Never);
        };
        if mine.membership == Member::Join {
            return Ok(JoinedUntil::Now);
        }
        let Some(no) = mine.no.filter(|_| mine.was_joined) else { return Ok(JoinedUntil::Never) };
        let left = self.last_left(self.data().parts().room(room), no).await?;
        Ok(left.and_then(|event| event.place).map_or(JoinedUntil::Never, JoinedUntil::Left))
    }

    /// Those of the events that the room's history rules let the user see, without messages of
    /// people whom the user ignores. For events that were found by other means than
    /// [`Rooms::access`], as sync does.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn visible_events(
        &self,
        user: &UserId,
        room: &RoomId,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Arc<Event>>, RoomsError> {
        let part = self.data().parts().room(room);
        let mut lens = self.lens(user, part, JoinedUntil::Never, &events).await?;
        // Who was joined at every event, as is usual in sync, need not be looked up.
        if !events.iter().all(|event| lens.sees(event)) {
            lens.set_joined_until(self.joined_until(user, room).await?);
        }
        let ignored = self.accounts().ignored_users(user).await?;
        Ok(events
            .into_iter()
            .filter(|event| event.state_key.is_some() || !ignored.contains(&event.sender))
            .filter(|event| lens.sees(event))
            .collect())
    }
}
