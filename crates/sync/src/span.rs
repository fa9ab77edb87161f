//! What one answer covers, and what happened in there.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use blaupause_accounts::InviteAnswer;
use blaupause_data::{Change, Found, Member, StreamPos, rows::UserRoom};
use ruma::{DeviceId, OwnedRoomId, OwnedUserId, UserId};

use crate::{Slot, Sync, SyncError, SyncToken};

/// Tries to see the user's rooms and the stream at one moment.
const ATTEMPTS_MAX: usize = 20;

/// What one answer covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// `None` for an initial sync.
    pub since: Option<StreamPos>,
    pub until: StreamPos,
    /// Typing that the client has seen, and that it will have seen.
    pub passing_since: u64,
    pub passing_until: u64,
}

impl Span {
    /// Whether a position is new to the client.
    pub(crate) fn is_new(&self, pos: StreamPos) -> bool {
        pos <= self.until && self.since.is_none_or(|since| pos > since)
    }

    /// Whether a row of the user's rooms says how things are at the end of the answer. If the
    /// answer ends earlier than the rooms were read, only a joined member's tells: who changed
    /// their name since was a member before, too.
    pub(crate) fn is_told_by(&self, room: &Found<UserRoom>) -> bool {
        let since = match room.membership {
            Member::Join => room.entered_at(),
            _ => room.pos,
        };
        since <= self.until
    }
}

/// The user's rooms, and what an answer covers; both of the same moment.
pub(crate) struct View {
    pub rooms: Arc<Vec<Found<UserRoom>>>,
    pub ignored: Arc<HashSet<OwnedUserId>>,
    pub span: Span,
}

impl View {
    /// Rooms the user is joined to.
    pub(crate) fn joined(&self) -> HashSet<OwnedRoomId> {
        self.rooms
            .iter()
            .filter(|room| room.membership == Member::Join && self.span.is_told_by(room))
            .map(|room| room.room_id.clone())
            .collect()
    }
}

/// What happened in a span and may concern a user. If memory does not reach back that far, any of
/// it may have happened.
pub(crate) struct News(Option<Known>);

#[derive(Default)]
struct Known {
    since: StreamPos,
    /// Rooms with a new event, receipt, account data or count of the user, or membership of them.
    rooms: HashSet<OwnedRoomId>,
    receipts: HashSet<OwnedRoomId>,
    account_data: HashSet<OwnedRoomId>,
    own_counts: HashSet<OwnedRoomId>,
    global_account_data: bool,
    one_time_keys: bool,
    devices: BTreeSet<OwnedUserId>,
    signed: BTreeSet<OwnedUserId>,
}

impl News {
    /// Whether anything may have happened in a room that a client should be told.
    pub(crate) fn in_room(&self, room: &OwnedRoomId) -> bool {
        self.0.as_ref().is_none_or(|known| known.rooms.contains(room))
    }

    /// Whether receipts in a room may have moved after a position.
    pub(crate) fn receipts_in(&self, room: &OwnedRoomId, since: Option<StreamPos>) -> bool {
        self.known_after(since).is_none_or(|known| known.receipts.contains(room))
    }

    /// Whether the user's account data of a room may have changed after a position.
    pub(crate) fn account_data_of(&self, room: &OwnedRoomId, since: Option<StreamPos>) -> bool {
        self.known_after(since).is_none_or(|known| known.account_data.contains(room))
    }

    /// Whether the user's own counts in a room may have changed without an event.
    pub(crate) fn own_counts_in(&self, room: &OwnedRoomId) -> bool {
        self.0.as_ref().is_none_or(|known| known.own_counts.contains(room))
    }

    pub(crate) fn global_account_data(&self) -> bool {
        self.0.as_ref().is_none_or(|known| known.global_account_data)
    }

    pub(crate) fn one_time_keys(&self) -> bool {
        self.0.as_ref().is_none_or(|known| known.one_time_keys)
    }

    /// Users whose devices changed; `None` if that has to be read.
    pub(crate) fn devices(&self) -> Option<&BTreeSet<OwnedUserId>> {
        self.0.as_ref().map(|known| &known.devices)
    }

    /// Users whose keys the user signed, as only they see; `None` if that has to be read.
    pub(crate) fn signed(&self) -> Option<&BTreeSet<OwnedUserId>> {
        self.0.as_ref().map(|known| &known.signed)
    }

    /// What is known, if it covers everything after a position.
    fn known_after(&self, since: Option<StreamPos>) -> Option<&Known> {
        self.0.as_ref().filter(|known| since.is_some_and(|since| since >= known.since))
    }
}

impl Known {
    fn note(&mut self, user: &UserId, device: Option<&DeviceId>, change: &Change) {
        match change {
            Change::Event { room, .. } | Change::StateWhole { room, .. } => {
                self.rooms.insert(room.clone());
            }
            Change::Receipt { room, user: of } => {
                self.rooms.insert(room.clone());
                self.receipts.insert(room.clone());
                if of == user {
                    self.own_counts.insert(room.clone());
                }
            }
            Change::AccountData { user: of, room } if of == user => match room {
                Some(room) => {
                    self.rooms.insert(room.clone());
                    self.account_data.insert(room.clone());
                }
                None => self.global_account_data = true,
            },
            Change::Unread { user: of, room } if of == user => {
                self.rooms.insert(room.clone());
                self.own_counts.insert(room.clone());
            }
            Change::Membership { user: of, room, .. } if of == user => {
                self.rooms.insert(room.clone());
            }
            Change::OneTimeKeys { user: of, device: at } if of == user => {
                self.one_time_keys |= device == Some(&**at);
            }
            Change::Devices { user } => drop(self.devices.insert(user.clone())),
            Change::Signed { signer, of } if signer == user => {
                self.signed.insert(of.clone());
            }
            _ => {}
        }
    }
}

impl Sync {
    /// The user's rooms, without invitations that they do not want to see (spec: client-server API,
    /// "Ignoring Users", "Invite permission"; MSC4155), and what an answer from a client's token to now covers.
    pub(crate) async fn view(
        &self,
        slot: &Arc<Slot>,
        since: Option<SyncToken>,
    ) -> Result<View, SyncError> {
        let mut tries = 0;
        let (rooms, until, passing_until) = loop {
            // Also registers the slot under its user's rooms: what happens there from now on
            // wakes it.
            let rooms = self.notifier().rooms(slot).await?;
            let passing_until = self.passing().count();
            let until = self.data().position();
            tries += 1;
            if rooms.is_of(slot, until) || tries == ATTEMPTS_MAX {
                break (rooms.rooms, until, passing_until);
            }
            // A membership changed at this very moment.
            tokio::task::yield_now().await;
        };
        let unwanted = self.accounts().unwanted(slot.user()).await?;
        let ignored = Arc::clone(&unwanted.ignored);
        let is_hidden = |room: &Found<UserRoom>| {
            room.membership == Member::Invite
                && (ignored.contains(&room.sender)
                    || unwanted.invites.answer(&room.sender) != InviteAnswer::Take)
        };
        let rooms = if rooms.iter().any(is_hidden) {
            Arc::new(rooms.iter().filter(|room| !is_hidden(room)).cloned().collect())
        } else {
            rooms
        };
        // A token from the future is from a store that was restored to an earlier state: start
        // from what there is.
        let pos = since.map(|since| since.pos.min(until));
        let passing_since = since.map_or(0, |since| self.passing().seen(since.boot, since.passing));
        let span = Span { since: pos, until, passing_since, passing_until };
        Ok(View { rooms, ignored, span })
    }

    /// What happened in a span that may concern a user's device.
    pub(crate) fn news(&self, user: &UserId, device: Option<&DeviceId>, span: &Span) -> News {
        let Some(since) = span.since else { return News(None) };
        let Some(recent) = self.data().feed().between(since, span.until) else { return News(None) };
        let mut known = Known { since, ..Known::default() };
        for change in recent.iter().flat_map(|(_, changes)| changes.iter()) {
            known.note(user, device, change);
        }
        News(Some(known))
    }

    /// The token that stands for the end of a span.
    pub(crate) fn token_at(&self, span: &Span) -> SyncToken {
        SyncToken {
            pos: span.until,
            boot: self.passing().boot(),
            passing: span.passing_until,
            sticky: None,
        }
    }
}
