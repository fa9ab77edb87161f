//! Somebody of another server invites one of ours.

use blaupause_accounts::{InviteAnswer, InviteRules, rows::AccountDataRow};
use blaupause_data::{Member, ReadSet};
use blaupause_graph::{Pdu, countersign};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, RoomVersionId, UserId,
    api::federation::membership::RawStrippedState, room_version_rules::RoomVersionRules,
};
use serde_json::value::RawValue;

use super::{outside::NewOutside, stripped::stripped};
use crate::{Rooms, RoomsError, member_event::MemberEvent, rows::Outside};

/// An invitation that another server asks us to sign.
#[derive(Debug)]
pub struct Invited {
    /// Who asks.
    pub origin: OwnedServerName,
    pub room: OwnedRoomId,
    pub event_id: OwnedEventId,
    pub version: RoomVersionId,
    pub event: Box<RawValue>,
    /// What is told of the room.
    pub state: Vec<RawStrippedState>,
}

impl Rooms {
    /// Sign an invitation to one of our people, and show it to them. Durable when this returns.
    /// In a room that this server is in, it is shown when it arrives there.
    ///
    /// # Errors
    /// [`RoomsError::IncompatibleVersion`]; [`RoomsError::Invalid`], [`RoomsError::Missing`],
    /// [`RoomsError::Refused`] if this is no invitation of that server, or for nobody here;
    /// [`RoomsError::Forbidden`], [`RoomsError::InviteBlocked`]. Nothing is signed then
    /// (CVE-2025-68667).
    pub async fn take_invite(&self, invited: Invited) -> Result<Box<RawValue>, RoomsError> {
        let Ok((version, rules)) = self.supported(Some(&invited.version)) else {
            return Err(RoomsError::IncompatibleVersion(invited.version));
        };
        let event = MemberEvent::read(&invited.event, &rules)?;
        event.must_be("invite", &invited.room, &invited.event_id, &invited.origin)?;
        let target = event.target()?.to_owned();
        if !self.data().is_local(&target) {
            return Err(RoomsError::Invalid("this person is not of this server"));
        }
        self.federation().permits(event.pdu.sender().server_name())?;
        self.must_be_described_enterable(&invited.room, &invited.state)?;
        let pdu = self.verified(event, &rules).await?;
        if !self.accounts().is_active(&target).await? {
            return Err(RoomsError::NotFound("person"));
        }
        self.must_take_invites(&target, pdu.sender()).await?;
        let key = self.data().signing_key();
        let signed = countersign(&pdu, self.data().server_name(), key.pair(), &rules)?;
        if self.is_outside(&invited.room).await? {
            let new = NewOutside {
                room: invited.room.clone(),
                membership: Member::Invite,
                sender: pdu.sender().to_owned(),
                stripped: stripped(invited.state, &pdu, &rules),
                from: Some(Outside {
                    room_id: invited.room,
                    event_id: invited.event_id,
                    version,
                    via: vec![invited.origin],
                    left: None,
                }),
                user: target,
                told: Some(signed.clone()),
            };
            self.write_outside(new, |now| now != Some(Member::Join)).await?;
        } else {
            self.must_not_be_in(&target, &invited.room).await?;
        }
        Ok(signed.to_raw())
    }

    /// The event, if its sender's server has signed it as it is.
    pub(super) async fn verified(
        &self,
        event: MemberEvent,
        rules: &RoomVersionRules,
    ) -> Result<Pdu, RoomsError> {
        let keys = self.federation().keys_for([&event.unverified], rules).await;
        let keys = keys.of(&event.unverified);
        let pdu = event.unverified.verify(&keys, rules)?;
        // Whose content does not fit to the hash comes back redacted.
        if pdu.json() == event.pdu.json() {
            Ok(pdu)
        } else {
            Err(RoomsError::Invalid("the hash of the event is wrong"))
        }
    }

    async fn must_take_invites(&self, target: &UserId, by: &UserId) -> Result<(), RoomsError> {
        let part = self.data().parts().user(target);
        let mut want = ReadSet::new();
        let slots = InviteRules::TYPES
            .map(|kind| want.get::<AccountDataRow>(part, &(String::new(), kind.to_owned())));
        let got = want.run(self.data()).await?;
        let [stable, unstable, lists] = slots;
        let found = [got.one(stable)?, got.one(unstable)?, got.one(lists)?];
        let configs = found.each_ref().map(|row| row.as_ref()?.value.as_deref());
        match InviteRules::parse(configs).answer(by) {
            InviteAnswer::Block => Err(RoomsError::InviteBlocked(target.to_owned())),
            InviteAnswer::Take | InviteAnswer::Ignore => Ok(()),
        }
    }

    async fn must_not_be_in(&self, target: &UserId, room: &ruma::RoomId) -> Result<(), RoomsError> {
        let row = self.data().membership(target, room).await?;
        match row.map(|row| row.value.membership) {
            Some(Member::Join) => Err(RoomsError::Forbidden("this person is in the room already")),
            Some(Member::Ban) => Err(RoomsError::Forbidden("this person is banned")),
            _ => Ok(()),
        }
    }
}
