//! What somebody was notified of, to look up (spec: client-server API, "Listing notifications").
//!
//! Nothing is stored for it: the rules are asked again about the newest events of all the user's
//! rooms. Few people ever look, and one row for everybody in a room would make every message a
//! hundred times as large.

use std::{collections::BTreeMap, sync::Arc};

use blaupause_data::{Event, Found, Member, Place, rows::UserRoom, together};
use ruma::{DeviceId, OwnedRoomId, UserId};
use serde_json::value::RawValue;

use crate::{Notify, NotifyError, gateway::is_read, judge::Judgement};

/// Newest events of each room that one page looks at: behind them the next page goes on.
const LOOKED_AT_MAX: u32 = 50;

/// Something that somebody was notified of.
#[derive(Clone, Debug)]
pub struct Notification {
    pub room: OwnedRoomId,
    /// As the user sees it, without the room's id.
    pub event: Box<RawValue>,
    /// What the rule said to do: a JSON list.
    pub actions: Arc<str>,
    /// Whether the user has read it.
    pub read: bool,
    /// When the event was sent, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// Notifications, newest first.
#[derive(Clone, Debug, Default)]
pub struct NotificationPage {
    pub notifications: Vec<Notification>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<Place>,
}

/// What is wanted of a user's notifications.
#[derive(Clone, Copy, Debug)]
pub struct NotificationsWanted {
    /// Where the page before ended.
    pub before: Option<Place>,
    pub limit: usize,
    pub only_highlights: bool,
}

/// An event that notifies.
struct Noted {
    place: Place,
    room: OwnedRoomId,
    event: Arc<Event>,
    judgement: Judgement,
    /// An invitation that was not answered: nobody reads it in the room.
    is_open_invitation: bool,
}

/// What was found in one room, and the place behind which it was not looked at.
type Looked = (Vec<Noted>, Option<Place>);

impl Notify {
    /// What a user was notified of before a place, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn notifications(
        &self,
        user: &UserId,
        device: Option<&DeviceId>,
        wanted: NotificationsWanted,
    ) -> Result<NotificationPage, NotifyError> {
        let rooms = self.data().rooms_of(user).await?;
        let looks = rooms.iter().map(|room| self.look_into(user, room, wanted.before));
        let (mut found, mut horizon) = (Vec::new(), None);
        for looked in self.data().in_waves(together(looks)).await {
            let (noted, behind) = looked?;
            found.extend(noted);
            horizon = horizon.max(behind);
        }
        // Behind the horizon of one room another one's event may not be told: something newer may
        // follow on the next page.
        found.retain(|noted| {
            horizon.is_none_or(|horizon| noted.place >= horizon)
                && (noted.judgement.highlight || !wanted.only_highlights)
        });
        found.sort_unstable_by_key(|noted| std::cmp::Reverse(noted.place));
        let next = match found.get(wanted.limit) {
            Some(_) => found.get(wanted.limit.saturating_sub(1)).map(|noted| noted.place),
            None => horizon,
        };
        found.truncate(wanted.limit);
        let notifications = self.show(user, device, found).await?;
        Ok(NotificationPage { notifications, next })
    }

    async fn look_into(
        &self,
        user: &UserId,
        room: &Found<UserRoom>,
        before: Option<Place>,
    ) -> Result<Looked, NotifyError> {
        let (id, part) = (&room.room_id, self.data().parts().room(&room.room_id));
        let now = Place::after(self.data().position());
        let is_before = |place: Place| before.is_none_or(|before| place < before);
        let (events, state, horizon) = match room.membership {
            Member::Join => {
                let until = before.map_or(now, |before| before.min(now));
                let stretch = self.data().stretch(part, None, until, LOOKED_AT_MAX).await?;
                let is_whole = stretch.entries.len() < LOOKED_AT_MAX as usize;
                let oldest = stretch.entries.last().map(|(place, _)| *place);
                let numbers: Vec<_> =
                    stretch.entries.iter().map(|(_, entry)| (part, entry.no)).collect();
                let events = self.data().events(&numbers).await?;
                (events, stretch.state_until, oldest.filter(|_| !is_whole))
            }
            Member::Invite => {
                let no = match room.no {
                    Some(no) => Some(no),
                    None => self.rooms().invitation_from_outside(user, id).await?,
                };
                let Some(no) = no else { return Ok(Looked::default()) };
                let event = self.data().event(part, no).await?;
                let state = event.as_ref().map(|event| event.stored.state_after);
                (vec![event], state.unwrap_or_default(), None)
            }
            _ => return Ok(Looked::default()),
        };
        let Some(judge) = self.judge_in(user, id, state).await? else {
            return Ok(Looked::default());
        };
        let mut noted = Vec::new();
        for event in events.into_iter().flatten() {
            let Some(place) = event.place.filter(|place| is_before(*place)) else { continue };
            let judgement = judge.judge(&event).await;
            if judgement.notify {
                let is_open_invitation = room.membership == Member::Invite;
                let room = id.clone();
                noted.push(Noted { place, room, event, judgement, is_open_invitation });
            }
        }
        Ok((noted, horizon))
    }

    /// The events as the user sees them; those that they may not see are left out.
    async fn show(
        &self,
        user: &UserId,
        device: Option<&DeviceId>,
        found: Vec<Noted>,
    ) -> Result<Vec<Notification>, NotifyError> {
        let mut by_room: BTreeMap<OwnedRoomId, Vec<Noted>> = BTreeMap::new();
        for noted in found {
            by_room.entry(noted.room.clone()).or_default().push(noted);
        }
        let shown = by_room.into_iter().map(|(room, noted)| async move {
            let rooms = self.rooms();
            // An invitation is seen by whom it invites, who does not see the room yet.
            let is_own = |event: &Arc<Event>| event.state_key.as_deref() == Some(user.as_str());
            let events = noted.iter().map(|noted| Arc::clone(&noted.event));
            let (own, others): (Vec<_>, Vec<_>) = events.partition(is_own);
            let mut visible = rooms.visible_events(user, &room, others).await?;
            visible.extend(own);
            let read = rooms.read_up_to(user, &room).await?;
            let json = rooms.serialize_for_sync(user, device, &room, &visible, false).await?;
            let mut json: BTreeMap<_, _> = visible.iter().map(|event| event.no).zip(json).collect();
            let shown = noted.into_iter().filter_map(|noted| {
                let event = json.remove(&noted.event.no)?;
                let notification = Notification {
                    room: room.clone(),
                    event,
                    actions: noted.judgement.actions,
                    read: !noted.is_open_invitation && is_read(&read, &noted.event),
                    at_ms: noted.event.origin_server_ts,
                };
                Some((noted.place, notification))
            });
            Ok::<Vec<_>, NotifyError>(shown.collect())
        });
        let shown = self.data().in_waves(together(shown)).await;
        let mut shown: Vec<_> =
            shown.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        shown.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
        Ok(shown.into_iter().map(|(_, notification)| notification).collect())
    }
}
