//! From the store into memory: heads, current state, state pages.

use std::sync::Arc;

use blaupause_data::{
    DataError, Event, Found, Part,
    rows::{CurrentRow, HeadRow, RoomHead, RoomServerRow, StateKeyNoRow},
};
use blaupause_graph::{EventNo, Pdu, StateKeyNo, StateRoot, rules_of};
use ruma::{
    OwnedEventId, OwnedServerName, OwnedUserId, RoomId, UserId,
    events::{
        StateEventType,
        room::power_levels::{RoomPowerLevels, RoomPowerLevelsEventContent},
    },
    room_version_rules::RoomVersionRules,
    state_res::events::RoomCreateEvent,
};

use crate::{
    Rooms, RoomsError,
    hot::{Known, RoomHot, StateName},
    lane::Lane,
    rows::EventTxnRow,
};

impl Rooms {
    /// What a room is now; `None` if this server does not know it. May lag behind batches that
    /// are queued but not yet durable.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn head(&self, room: &RoomId) -> Result<Option<Found<RoomHead>>, RoomsError> {
        let head = self.data().get::<HeadRow>(self.data().parts().room(room), &()).await?;
        Ok(head.filter(|head| head.room_id == room))
    }

    /// Current state events of a room, in the order asked; in at most three round trips.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn current_state(
        &self,
        room: &RoomId,
        names: &[StateName],
    ) -> Result<Vec<Option<Arc<Event>>>, RoomsError> {
        let part = self.data().parts().room(room);
        let wanted: Vec<_> = names.iter().map(|name| (part, name.clone())).collect();
        self.current_states(&wanted).await
    }

    /// Current state events of many rooms, in the order asked; in at most three round trips.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) async fn current_states(
        &self,
        wanted: &[(Part, StateName)],
    ) -> Result<Vec<Option<Arc<Event>>>, RoomsError> {
        let known = self.current_numbers(wanted).await?;
        let numbers: Vec<_> = wanted
            .iter()
            .zip(&known)
            .filter_map(|((part, _), (_, event))| Some((*part, (*event)?)))
            .collect();
        let mut events = self.data().events(&numbers).await?.into_iter();
        Ok(known.iter().map(|(_, event)| event.and_then(|_| events.next()?)).collect())
    }

    /// Number of each key and of its event in the current state.
    async fn current_numbers(
        &self,
        wanted: &[(Part, StateName)],
    ) -> Result<Vec<(Option<StateKeyNo>, Option<EventNo>)>, DataError> {
        let keys: Vec<_> = wanted
            .iter()
            .map(|(part, (kind, key))| (*part, (kind.to_string(), key.clone())))
            .collect();
        let numbers = self
            .data()
            .get_many::<StateKeyNoRow>(keys.iter().map(|(part, key)| (*part, key)))
            .await?;
        let numbers: Vec<_> = numbers.into_iter().map(|row| row.map(|row| row.value)).collect();
        let found = wanted.iter().zip(&numbers);
        let found: Vec<_> =
            found.filter_map(|((part, _), no)| Some((*part, no.as_ref()?))).collect();
        let mut current = self.data().get_many::<CurrentRow>(found).await?.into_iter();
        Ok(numbers
            .iter()
            .map(|no| (*no, no.and_then(|_| current.next()?).map(|row| row.value)))
            .collect())
    }

    /// The room's power levels as they apply to messages and pushes; `None` if the room is not
    /// known.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn power_levels(&self, room: &RoomId) -> Result<Option<RoomPowerLevels>, RoomsError> {
        let names = [
            (StateEventType::RoomCreate, String::new()),
            (StateEventType::RoomPowerLevels, String::new()),
        ];
        let mut events = self.current_state(room, &names).await?;
        let (levels, create) = (events.pop().flatten(), events.pop().flatten());
        Self::power_levels_in(create, levels)
    }

    /// As [`Rooms::power_levels`], at a state.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn power_levels_at(
        &self,
        room: Part,
        state: StateRoot,
    ) -> Result<Option<RoomPowerLevels>, RoomsError> {
        let kinds = [StateEventType::RoomCreate, StateEventType::RoomPowerLevels];
        let [create, levels] = kinds.map(|kind| kind.to_string());
        let keys = [&create, &levels].map(|kind| (kind.clone(), String::new()));
        let events = self.state_events_at(room, state, keys.to_vec()).await?;
        let find = |kind: &str| events.iter().find(|event| event.kind == kind).cloned();
        Self::power_levels_in(find(&create), find(&levels))
    }

    fn power_levels_in(
        create: Option<Arc<Event>>,
        levels: Option<Arc<Event>>,
    ) -> Result<Option<RoomPowerLevels>, RoomsError> {
        let Some(create) = create else { return Ok(None) };
        let version = create.content_as::<CreateContent>().and_then(|content| content.room_version);
        let Some(rules) = rules_of(&version.unwrap_or(ruma::RoomVersionId::V1)) else {
            return Ok(None);
        };
        let create = pdu_of(&create, &rules)?;
        let creators: Vec<OwnedUserId> = RoomCreateEvent::new(create)
            .creators(&rules.authorization)
            .map_err(blaupause_graph::Refusal::Malformed)?
            .into_iter()
            .collect();
        let levels = levels.and_then(|event| event.content_as::<RoomPowerLevelsEventContent>());
        Ok(Some(RoomPowerLevels::new(levels.into(), &rules.authorization, creators)))
    }

    /// The transactions of events (device, transaction id), in the order asked, so that a device
    /// recognises its own events.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn transactions(
        &self,
        events: &[(Part, EventNo)],
    ) -> Result<Vec<Option<crate::rows::EventTxn>>, RoomsError> {
        let rows = self
            .data()
            .get_many::<EventTxnRow>(events.iter().map(|(part, no)| (*part, no)))
            .await?;
        Ok(rows.into_iter().map(|row| row.map(|row| row.value)).collect())
    }

    /// Wait for one's turn in a room and know its head.
    pub(crate) async fn lane(&self, room: &RoomId) -> Result<Lane, RoomsError> {
        let part = self.data().parts().room(room);
        self.know_partial().await?;
        let mut lane = self.lanes().enter(part).await;
        if lane.hot().is_none() {
            let head = self.data().get::<HeadRow>(part, &()).await?;
            let head = head.ok_or(RoomsError::RoomUnknown)?;
            *lane.hot() = Some(RoomHot::new(part, head.version, head.value)?);
        }
        // Two names could have one partition: the name in the head decides.
        match lane.hot() {
            Some(hot) if hot.head.room_id == room => Ok(lane),
            _ => Err(RoomsError::RoomUnknown),
        }
    }

    /// Make sure that the room knows the current state of these keys.
    pub(crate) async fn look_up(
        &self,
        hot: &mut RoomHot,
        names: &[StateName],
    ) -> Result<(), RoomsError> {
        // `get` and not `contains`, so that what is needed now is the last to be let go.
        let absent: Vec<_> = names
            .iter()
            .filter(|name| hot.state.get(*name).is_none())
            .map(|name| (hot.part, name.clone()))
            .collect();
        if absent.is_empty() {
            return Ok(());
        }
        // Whose membership is looked up is perhaps about to change it: one round trip for both.
        let servers = uncounted_servers(hot, &absent);
        let (data, part) = (self.data(), hot.part);
        let counts = data.get_many::<RoomServerRow>(servers.iter().map(|server| (part, server)));
        let both = async { tokio::join!(self.current_numbers(&absent), counts) };
        let (known, counts) = data.in_waves(Box::pin(both)).await;
        let (known, counts) = (known?, counts?);
        for (server, count) in servers.into_iter().zip(counts) {
            hot.servers.put(server, count.map_or(0, |row| row.value));
        }
        let numbers: Vec<_> =
            known.iter().filter_map(|(_, event)| Some((hot.part, (*event)?))).collect();
        let mut events = self.data().events(&numbers).await?.into_iter();
        for ((_, name), (number, event)) in absent.into_iter().zip(known) {
            let event = match event {
                Some(no) => {
                    let event = events.next().flatten();
                    let event = event.ok_or_else(|| DataError::Damaged("evt/e: absent".into()))?;
                    Some((no, pdu_of(&event, &hot.rules)?))
                }
                None => None,
            };
            hot.state.put(name, Known { number, event });
        }
        Ok(())
    }

    /// Number of an event of a room.
    pub(crate) async fn event_no(
        &self,
        room: Part,
        event: &OwnedEventId,
    ) -> Result<Option<EventNo>, RoomsError> {
        let hash = self.data().parts().hash16(event.as_str());
        let row = self.data().get::<blaupause_data::rows::EventNoRow>(room, &hash).await?;
        Ok(row.map(|row| row.value))
    }
}

/// Servers of the people whose membership is looked up, as far as their users are not counted.
fn uncounted_servers(hot: &mut RoomHot, names: &[(Part, StateName)]) -> Vec<OwnedServerName> {
    let members = names.iter().filter(|(_, (kind, _))| *kind == StateEventType::RoomMember);
    let users = members.filter_map(|(_, (_, key))| <&UserId>::try_from(key.as_str()).ok());
    let mut servers: Vec<_> = users.map(|user| user.server_name().to_owned()).collect();
    servers.sort();
    servers.dedup();
    servers.retain(|server| hot.servers.get(server).is_none());
    servers
}

#[derive(serde::Deserialize)]
struct CreateContent {
    room_version: Option<ruma::RoomVersionId>,
}

/// A stored event as the pure core wants it.
pub(crate) fn pdu_of(event: &Event, rules: &RoomVersionRules) -> Result<Pdu, RoomsError> {
    let stored = &event.stored;
    let pdu = Pdu::from_stored(stored.pdu.clone(), stored.event_id.clone(), rules)?;
    Ok(pdu.with_rejected(stored.rejected))
}
