//! Who shares a room with whom, across servers.

use std::collections::{BTreeSet, HashSet};

use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, UserId};

use crate::{Data, DataError, Member, rows::MemberRow, together};

/// Places that are looked at in one round trip.
const PLACES_AT_ONCE: usize = 5_000;
/// Places that are looked at for one answer. Who was not found by then counts as not sharing.
const PLACES_MAX: usize = 100_000;

impl Data {
    /// Those of `users`, of any server, who are joined to one of `rooms`. A room in which nobody of
    /// a user's server is costs nothing; the others a round trip for every 5,000 pairs of user and
    /// room, until everybody is found.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn sharing(
        &self,
        users: &[OwnedUserId],
        rooms: impl IntoIterator<Item = &OwnedRoomId>,
    ) -> Result<HashSet<OwnedUserId>, DataError> {
        let mut unknown: BTreeSet<&OwnedUserId> = users.iter().collect();
        let mut found = HashSet::new();
        let mut pairs = Vec::new();
        let mut left = PLACES_MAX;
        for room in rooms {
            if unknown.is_empty() || left == 0 {
                break;
            }
            let servers = self.servers_in(room).await?;
            let there = |user: &&&OwnedUserId| {
                servers.binary_search_by(|server| (**server).cmp(user.server_name())).is_ok()
            };
            pairs.extend(unknown.iter().filter(there).take(left).map(|user| (room, *user)));
            if pairs.len() >= PLACES_AT_ONCE {
                left = left.saturating_sub(pairs.len());
                self.find_in(&mut pairs, &mut unknown, &mut found).await?;
            }
        }
        self.find_in(&mut pairs, &mut unknown, &mut found).await?;
        Ok(found)
    }

    async fn find_in<'a>(
        &self,
        pairs: &mut Vec<(&'a OwnedRoomId, &'a OwnedUserId)>,
        unknown: &mut BTreeSet<&'a OwnedUserId>,
        found: &mut HashSet<OwnedUserId>,
    ) -> Result<(), DataError> {
        let parts = self.parts();
        let keys: Vec<_> = pairs
            .iter()
            .map(|(room, user)| (parts.room(room), (Member::Join as u8, parts.user(user))))
            .collect();
        let rows = self.get_many::<MemberRow>(keys.iter().map(|(part, key)| (*part, key))).await?;
        for ((_, user), row) in pairs.drain(..).zip(rows) {
            if row.is_some_and(|row| row.user_id == **user) {
                unknown.remove(user);
                found.insert(user.clone());
            }
        }
        Ok(())
    }

    /// Those of `rooms` to which a user of any server is joined. One read, and one for each room
    /// whose servers are not in memory.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn rooms_with(
        &self,
        user: &UserId,
        rooms: Vec<OwnedRoomId>,
    ) -> Result<Vec<OwnedRoomId>, DataError> {
        let mut there = Vec::new();
        for room in rooms {
            if self.servers_in(&room).await?.iter().any(|server| server == user.server_name()) {
                there.push(room);
            }
        }
        let parts = self.parts();
        let key = (Member::Join as u8, parts.user(user));
        let keys = there.iter().map(|room| (parts.room(room), &key));
        let rows = self.get_many::<MemberRow>(keys).await?;
        let joined = there.into_iter().zip(rows);
        let is_there = |row: Option<crate::Found<crate::rows::RoomMember>>| {
            row.is_some_and(|row| row.user_id == user)
        };
        Ok(joined.filter_map(|(room, row)| is_there(row).then_some(room)).collect())
    }

    /// The other servers with somebody in a room of a local user.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn servers_with(
        &self,
        user: &UserId,
    ) -> Result<BTreeSet<OwnedServerName>, DataError> {
        let rooms = self.joined_rooms(user).await?;
        let mut all = BTreeSet::new();
        for servers in self.in_waves(together(rooms.iter().map(|room| self.servers_in(room)))).await
        {
            all.extend(servers?);
        }
        all.remove(self.server_name());
        Ok(all)
    }
}
