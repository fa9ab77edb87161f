//! What follows from a state event beyond the state, as it does from events of this server's people.

use blaupause_graph::{EventNo, Pdu};
use ruma::events::StateEventType;

use super::late::powers;
use crate::{RoomsError, append::Appending};

impl Appending<'_> {
    /// What the current state says where an event is to stand.
    pub(super) fn in_its_place(&self, pdu: &Pdu) -> Option<Pdu> {
        let (kind, key) = pdu.state_name()?;
        self.state(&kind, &key)
    }

    /// Note what is to be done if an event became part of the current state. `before`: what it
    /// replaced there.
    pub(super) async fn note_effects(
        &mut self,
        pdu: &Pdu,
        no: EventNo,
        before: Option<Pdu>,
    ) -> Result<(), RoomsError> {
        let Some(name) = pdu.state_name() else { return Ok(()) };
        let view = self.view();
        let known = view.known(&name).and_then(|known| known.event.as_ref());
        if known.is_none_or(|(current, _)| *current != no) {
            return Ok(());
        }
        match name.0 {
            StateEventType::RoomMember if name.1 != pdu.sender().as_str() => {
                self.look_up(&powers()).await?;
                self.note_sweep(pdu, no, before.as_ref());
            }
            StateEventType::RoomGuestAccess => self.note_guests(pdu, before.as_ref()),
            _ => {}
        }
        Ok(())
    }
}
