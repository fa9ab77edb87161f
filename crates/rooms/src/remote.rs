//! Rooms that this server is not in: how its people come in, knock, are invited and decline
//! (server-server API, "Joining Rooms", "Knocking upon a room", "Inviting to a room", "Leaving
//! Rooms").
//!
//! What another server says is compared with what was asked for before anything is signed, and
//! checked like any other input before anything is stored. No room is held while another server is
//! asked, and who asked need not stay: the work goes on without them.

mod alias;
mod decline;
mod ending;
mod farewell;
mod flights;
mod handshake;
mod invite;
mod invited;
mod join;
mod knock;
mod outside;
mod rescinded;
mod stripped;
mod summary;
mod template;
mod via;

use std::time::Duration;

use blaupause_federation::CallLimits;
use ruma::{RoomId, UserId};

pub(crate) use alias::ALIAS_SERVERS_MAX;
pub(crate) use farewell::Farewells;
pub(crate) use flights::Flights;
pub use invited::Invited;

use crate::{ChangeMembership, MembershipAction, Rooms, RoomsError, send::busy};

/// How long one server may take for a question with a small answer: the next in the list may be
/// alive.
const STEP_TIME: Duration = Duration::from_secs(15);

fn step_limits() -> CallLimits {
    CallLimits::default().within(STEP_TIME)
}

impl Rooms {
    /// Whether others are in the room and this server is not: then what is known of it may be old.
    pub(crate) async fn is_outside(&self, room: &RoomId) -> Result<bool, RoomsError> {
        let servers = self.data().servers_in(room).await?;
        let own = self.data().server_name();
        if servers.iter().any(|server| server == own) {
            return Ok(false);
        }
        // Whoever was the last to leave still knows the room best. A room without any event is the
        // rest of an attempt to take it over.
        let head = self.head(room).await?;
        Ok(!servers.is_empty() || head.is_none_or(|head| head.tips.is_empty()))
    }

    /// Whether a change needs another server's help.
    pub(crate) async fn needs_others(&self, change: &ChangeMembership) -> Result<bool, RoomsError> {
        match change.action {
            MembershipAction::Join => self.must_be_let_in(&change.room, &change.target).await,
            MembershipAction::Knock | MembershipAction::Leave => {
                self.is_outside(&change.room).await
            }
            MembershipAction::Invite => Ok(!self.data().is_local(&change.target)),
            MembershipAction::Kick | MembershipAction::Ban | MembershipAction::Unban => Ok(false),
        }
    }

    /// A change that needs another server's help. It goes on even if nobody waits for it any more.
    pub(crate) async fn change_with_others(
        &self,
        change: &ChangeMembership,
    ) -> Result<(), RoomsError> {
        let (rooms, change) = (self.clone(), change.clone());
        let work = self.data().env().spawn(async move {
            match change.action {
                MembershipAction::Join | MembershipAction::Knock => rooms.come_in(&change).await,
                MembershipAction::Leave => rooms.decline(&change).await,
                MembershipAction::Invite => rooms.invite_other(&change).await,
                MembershipAction::Kick | MembershipAction::Ban | MembershipAction::Unban => {
                    rooms.change_here(&change).await
                }
            }
        });
        // It can only fail by a panic, which has been reported.
        work.await.unwrap_or_else(|_| Err(busy()))
    }

    /// Whether another server has to say if somebody may come in: this one is not in the room, or
    /// does not know yet who is, and who is banned.
    async fn must_be_let_in(&self, room: &RoomId, user: &UserId) -> Result<bool, RoomsError> {
        if self.is_partial(room).await? {
            self.must_not_be_banned(user, room).await?;
            return Ok(!self.is_joined(user, room).await?);
        }
        self.is_outside(room).await
    }

    /// Join or knock. One at a time in each room: who comes second finds the room already here.
    async fn come_in(&self, change: &ChangeMembership) -> Result<(), RoomsError> {
        let _turn = self.flights().enter(&change.room).await;
        let is_outside = match change.action {
            MembershipAction::Join => self.must_be_let_in(&change.room, &change.target).await?,
            _ => self.is_outside(&change.room).await?,
        };
        if !is_outside {
            return self.change_here(change).await;
        }
        match change.action {
            MembershipAction::Knock => self.knock_outside(change).await,
            _ => self.join_outside(change).await,
        }
    }
}
