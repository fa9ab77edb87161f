//! What happens to people elsewhere and concerns their rooms: a new name, a closed account.
//!
//! The follower reads the log behind a stored cursor. Its work on one change may take many batches
//! (one a room), so it is idempotent: after a crash it is done again and finds most of it done.

use blaupause_accounts::rows::StoredProfile;
use blaupause_data::{Change, Member, together};
use ruma::{OwnedUserId, RoomId, UserId, events::StateEventType};
use serde_json::{Map, Value, json};

use crate::{ChangeMembership, MembershipAction, Rooms, RoomsError, append::Appending};

/// Name of the cursor.
pub(crate) const FOLLOWER: &str = "rooms";
/// Rooms of one person that change side by side, sharing their round trips. No turn in one of
/// them waits for another.
const ROOMS_AT_ONCE: usize = 50;

impl Rooms {
    /// Follow the log until the server stops.
    pub async fn run_follower(&self) {
        self.follower().listen(self.data(), |change| concerns_rooms(change) || is_arrival(change));
        self.follower().run(self.data(), || self.follow()).await;
    }

    /// Do what the log asks for, up to its end.
    ///
    /// # Errors
    /// The store cannot be read or written. What is not done is done the next time.
    pub async fn follow(&self) -> Result<(), RoomsError> {
        while let Some(mut lines) = self.follower().next(self.data()).await? {
            for (_, change) in &lines.changes {
                self.follow_one(change).await?;
            }
            Box::pin(self.carry_over(&lines.changes)).await?;
            if lines.changes.iter().any(|(_, change)| concerns_rooms(change)) {
                lines.note();
            }
            self.follower().done(self.data(), lines).await?;
        }
        Ok(())
    }

    async fn follow_one(&self, change: &Change) -> Result<(), RoomsError> {
        match change {
            Change::Swept { room, no } => Box::pin(self.sweep(room, *no)).await,
            Change::GuestsOut { room } => Box::pin(self.send_guests_away(room)).await,
            Change::Profile { user } => self.renew_profile(user).await,
            Change::Deactivated { user } => {
                self.forget_delayed_of(user).await?;
                self.forget_notices_of(user).await?;
                self.leave_all(user).await
            }
            _ => Ok(()),
        }
    }

    /// Say a person's name and avatar anew in all rooms they are in.
    async fn renew_profile(&self, user: &OwnedUserId) -> Result<(), RoomsError> {
        let profile = self.profile(user).await?;
        let rooms = self.data().joined_rooms(user).await?;
        for rooms in rooms.chunks(ROOMS_AT_ONCE) {
            let done = rooms.iter().map(|room| self.renew_in(room, user, &profile));
            for done in self.data().in_waves(together(done)).await {
                ignore_refusal(done)?;
            }
        }
        Ok(())
    }

    async fn renew_in(
        &self,
        room: &RoomId,
        user: &UserId,
        profile: &StoredProfile,
    ) -> Result<(), RoomsError> {
        self.in_turn(|| {
            Box::pin(async {
                let mut lane = self.lane(room).await?;
                let mut batch = Appending::new(self, lane.room()?);
                if batch.membership(user).await? != Some(Member::Join) {
                    return Ok(());
                }
                let current = batch.state(&StateEventType::RoomMember, user.as_str());
                let mut content: Map<String, Value> =
                    current.map(|pdu| pdu.content_as()).transpose()?.unwrap_or_default();
                // They say something about one event only.
                content.remove("reason");
                content.remove("join_authorised_via_users_server");
                set(&mut content, "displayname", profile.display_name.as_ref());
                set(&mut content, "avatar_url", profile.avatar_url.as_ref());
                let draft = self.member_draft(room, user, user, &content)?;
                if batch.says_already(&draft).await?.is_some() {
                    return Ok(());
                }
                batch.push(draft).await?;
                let write = batch.finish();
                lane.commit(self.data(), write).await?;
                Ok(())
            })
        })
        .await
    }

    /// A closed account leaves its rooms, and no longer is invited to any.
    async fn leave_all(&self, user: &UserId) -> Result<(), RoomsError> {
        let mut rooms = self.data().rooms_of(user).await?;
        rooms.retain(|row| matches!(row.membership, Member::Join | Member::Invite | Member::Knock));
        for rooms in rooms.chunks(ROOMS_AT_ONCE) {
            let leave = rooms.iter().map(|row| async {
                let (room, user) = (row.room_id.clone(), user.to_owned());
                let leave = ChangeMembership::own(room, user, MembershipAction::Leave);
                self.change_membership(&leave).await
            });
            for done in self.data().in_waves(together(leave)).await {
                ignore_refusal(done)?;
            }
        }
        Ok(())
    }
}

/// Somebody may have come into a room. To look at it twice costs little: it is not noted.
fn is_arrival(change: &Change) -> bool {
    matches!(change, Change::Membership { membership: Member::Join, .. })
}

fn concerns_rooms(change: &Change) -> bool {
    matches!(
        change,
        Change::Profile { .. }
            | Change::Deactivated { .. }
            | Change::Swept { .. }
            | Change::GuestsOut { .. }
    )
}

fn set(content: &mut Map<String, Value>, name: &str, value: Option<&String>) {
    match value {
        Some(value) => drop(content.insert(name.to_owned(), json!(value))),
        None => drop(content.remove(name)),
    }
}

/// One room that says no must not keep the others from hearing.
fn ignore_refusal(done: Result<(), RoomsError>) -> Result<(), RoomsError> {
    match done {
        Err(RoomsError::Data(error)) => Err(error.into()),
        Err(error) => {
            tracing::debug!(%error, "a room did not take the change");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
