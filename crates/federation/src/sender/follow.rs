//! From the log to debts: events of this server, for the other servers in their rooms.

use std::collections::{BTreeMap, BTreeSet};

use blaupause_data::{Change, DataError, Event, StreamPos};
use ruma::{
    OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, events::room::member::MembershipState,
};
use serde::Deserialize;

use super::{owe::NewDebts, rows::OwedEvent};
use crate::Federation;

impl Federation {
    /// Note what the log says is owed, up to its end: the events of many lines in one batch, with
    /// the place in the log. Doing it again changes nothing.
    ///
    /// # Errors
    /// The store failed.
    pub async fn owe_events(&self) -> Result<(), DataError> {
        let follower = &self.sender().follower;
        while let Some(mut lines) = follower.next(self.data()).await? {
            let (debts, was_handed) = self.debts_of(&lines.changes).await?;
            if was_handed {
                // After a restart nobody would know that.
                lines.note();
            }
            self.owe_all(debts, Some(&mut lines)).await?;
            follower.done(self.data(), lines).await?;
        }
        Ok(())
    }

    /// One read for the events, and one for each room whose servers are not in memory. Also whether
    /// there was something that others were told by somebody else.
    async fn debts_of(&self, lines: &[(StreamPos, Change)]) -> Result<(NewDebts, bool), DataError> {
        let mut wanted = Vec::new();
        for (_, change) in lines {
            let Change::Event { room, no } = change else { continue };
            wanted.push((room, *no));
        }
        let (mut debts, mut was_handed) = (NewDebts::new(), false);
        if wanted.is_empty() {
            return Ok((debts, was_handed));
        }
        let parts = self.data().parts();
        let keys: Vec<_> = wanted.iter().map(|(room, no)| (parts.room(room), *no)).collect();
        let events = self.data().events(&keys).await?;
        // From the newest back: who was taken out of a room was in it when the others were said.
        let mut gone: BTreeMap<&OwnedRoomId, BTreeSet<OwnedServerName>> = BTreeMap::new();
        for ((room, no), event) in wanted.into_iter().zip(events).rev() {
            let Some(event) = event else { continue };
            let is_ours = self.data().is_local(&event.sender);
            let is_handed = is_ours && self.sender().handed.knows(&event.stored.event_id);
            was_handed |= is_handed;
            if let Some(place) = event.place.filter(|_| is_ours && !is_handed) {
                let mut audience = self.audience(room, &event).await?;
                audience.extend(gone.get(room).into_iter().flatten().cloned());
                for server in audience {
                    let of_room: (OwnedServerName, OwnedRoomId) = (server, room.clone());
                    debts.entry(of_room).or_default().push(OwedEvent { place, no });
                }
            }
            let out = self.taken_out(room, &event).await?.filter(|it| self.may_be_owed(it));
            gone.entry(room).or_default().extend(out);
        }
        Ok((debts, was_handed))
    }

    /// Which servers an event of ours goes to.
    async fn audience(
        &self,
        room: &RoomId,
        event: &Event,
    ) -> Result<BTreeSet<OwnedServerName>, DataError> {
        let mut servers: BTreeSet<_> = self.data().servers_in(room).await?.into_iter().collect();
        // Whoever is removed must hear of it, even if nobody else of that server is left.
        servers.extend(removed(event).map(|user| user.server_name().to_owned()));
        servers.retain(|server| self.may_be_owed(server));
        Ok(servers)
    }

    /// The server of whom an event takes out of a room, if they were in it.
    async fn taken_out(
        &self,
        room: &RoomId,
        event: &Event,
    ) -> Result<Option<OwnedServerName>, DataError> {
        let (Some(user), Some(before)) = (removed(event), event.stored.replaces) else {
            return Ok(None);
        };
        let before = self.data().event(self.data().parts().room(room), before).await?;
        let was_in =
            before.is_some_and(|before| membership(&before) == Some(MembershipState::Join));
        Ok(was_in.then(|| user.server_name().to_owned()))
    }
}

/// Whom a member event removes.
fn removed(event: &Event) -> Option<OwnedUserId> {
    let is_out = matches!(membership(event)?, MembershipState::Leave | MembershipState::Ban);
    event.state_key.as_deref().filter(|_| is_out)?.try_into().ok()
}

fn membership(event: &Event) -> Option<MembershipState> {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    let is_member = event.kind == "m.room.member";
    is_member.then(|| event.content_as::<Content>())?.map(|content| content.membership)
}
