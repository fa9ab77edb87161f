//! Whose device lists a client has to look up again (spec: client-server API, "Tracking the
//! device list for a user").

use std::collections::{BTreeSet, HashSet};

use blaupause_data::{Change, DataError, Member, ReadSet, StreamPos, rows::UserRoomRow};
use blaupause_e2ee::DeviceListChanges;
use ruma::{OwnedRoomId, OwnedUserId, UserId};

use crate::{Sync, SyncError, SyncToken};

/// What happened in the user's rooms since the last sync, as far as device lists care.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoomMoves {
    /// Rooms the user is joined to now.
    pub joined: HashSet<OwnedRoomId>,
    /// Rooms the user joined since.
    pub entered: Vec<OwnedRoomId>,
    /// Rooms the user left since.
    pub left: Vec<OwnedRoomId>,
    /// Others who joined or left rooms that the user is in.
    pub others_joined: BTreeSet<OwnedUserId>,
    pub others_left: BTreeSet<OwnedUserId>,
}

impl Sync {
    /// Device list changes in `since < position <= until`.
    pub(crate) async fn device_list_changes(
        &self,
        user: &UserId,
        since: StreamPos,
        until: StreamPos,
        moves: RoomMoves,
    ) -> Result<DeviceListChanges, SyncError> {
        let mut answer = DeviceListChanges::default();
        let mut changed = self.e2ee().devices_changed(since, until).await?;
        if changed.remove(user) {
            answer.changed.insert(user.to_owned());
        }
        if !moves.entered.is_empty() {
            changed.extend(self.data().joined_members_of(&moves.entered).await?);
        }
        changed.extend(moves.others_joined);
        let mut gone = moves.others_left;
        if !moves.left.is_empty() {
            gone.extend(self.data().joined_members_of(&moves.left).await?);
        }
        changed.remove(user);
        gone.remove(user);
        let all: Vec<_> = changed.union(&gone).cloned().collect();
        let sharing = self.who_shares_rooms(&all, &moves.joined).await?;
        for other in all {
            if sharing.contains(&other) {
                if changed.contains(&other) {
                    answer.changed.insert(other);
                }
            } else if gone.contains(&other) {
                answer.left.insert(other);
            }
        }
        Ok(answer)
    }

    /// What changed between two sync tokens (`GET /keys/changes`).
    ///
    /// # Errors
    /// A token is not one of ours, or the store failed.
    pub async fn key_changes(
        &self,
        user: &UserId,
        from: &str,
        to: &str,
    ) -> Result<DeviceListChanges, SyncError> {
        let parse = |text| SyncToken::parse(text).ok_or(SyncError::Invalid("not a sync token"));
        let (from, to) = (parse(from)?.pos, parse(to)?.pos.min(self.data().position()));
        let mut moves = RoomMoves::default();
        for room in self.data().rooms_of(user).await? {
            let is_new = room.entered_at() > from && room.entered_at() <= to;
            match room.membership {
                Member::Join => {
                    moves.joined.insert(room.room_id.clone());
                    if is_new {
                        moves.entered.push(room.value.room_id);
                    }
                }
                Member::Leave | Member::Ban if is_new && room.was_joined => {
                    moves.left.push(room.value.room_id);
                }
                _ => {}
            }
        }
        self.others_moves(user, from, to, &mut moves);
        self.device_list_changes(user, from, to, moves).await
    }

    /// Others who joined or left rooms that the user is in, as far as memory reaches back.
    pub(crate) fn others_moves(
        &self,
        user: &UserId,
        since: StreamPos,
        until: StreamPos,
        moves: &mut RoomMoves,
    ) {
        let recent = self.data().feed().between(since, until).unwrap_or_default();
        for change in recent.iter().flat_map(|(_, changes)| changes.iter()) {
            let Change::Membership { user: other, room, membership } = change else { continue };
            if other == user || !moves.joined.contains(room) {
                continue;
            }
            match membership {
                Member::Join => moves.others_joined.insert(other.clone()),
                Member::Leave | Member::Ban => moves.others_left.insert(other.clone()),
                Member::Invite | Member::Knock => false,
            };
        }
    }

    /// Those of `others` who are joined to one of `rooms`. Local users only need one look at
    /// their own rooms.
    pub(crate) async fn who_shares_rooms(
        &self,
        others: &[OwnedUserId],
        rooms: &HashSet<OwnedRoomId>,
    ) -> Result<HashSet<OwnedUserId>, DataError> {
        let data = self.data();
        let mut want = ReadSet::new();
        let slots: Vec<_> = others
            .iter()
            .map(|other| {
                let part = data.parts().user(other);
                let limit = blaupause_data::LIMITS.scan_rows_max;
                want.prefix::<UserRoomRow>(part, &(), blaupause_data::Order::Forward, limit)
            })
            .collect();
        let got = want.run(data).await?;
        let mut sharing = HashSet::new();
        for (other, slot) in others.iter().zip(slots) {
            let shares = got
                .many(slot)?
                .rows
                .iter()
                .any(|(_, row)| row.membership == Member::Join && rooms.contains(&row.room_id));
            if shares {
                sharing.insert(other.clone());
            }
        }
        Ok(sharing)
    }
}
