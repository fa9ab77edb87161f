//! Rooms that two people share (spec: client-server API, `GET /mutual_rooms`).

use blaupause_data::{Member, rows::MemberRow};
use ruma::{OwnedRoomId, UserId};

use crate::{Rooms, RoomsError};

/// Rooms that one answer names.
const PAGE_ROOMS_MAX: usize = 500;

/// Shared rooms, in an order that stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MutualRooms {
    pub rooms: Vec<OwnedRoomId>,
    /// Where to go on, if there are more.
    pub next: Option<String>,
    /// How many there are in all.
    pub count: usize,
}

impl Rooms {
    /// Rooms to which both are joined; `user` is one of this server. `from`: the `next` of the page
    /// before. Who does not exist shares no room.
    ///
    /// # Errors
    /// [`RoomsError::Invalid`] if somebody asks about themselves, or `from` is not one of ours.
    pub async fn mutual_rooms(
        &self,
        user: &UserId,
        other: &UserId,
        from: Option<&str>,
    ) -> Result<MutualRooms, RoomsError> {
        if user == other {
            return Err(RoomsError::Invalid("you share every room with yourself"));
        }
        let from = from.map(hash_of).transpose()?;
        let (data, parts) = (self.data(), self.data().parts());
        let key = (Member::Join as u8, parts.user(other));
        let mine = data.joined_rooms(user).await?;
        let keys = mine.iter().map(|room| (parts.room(room), &key));
        let found = data.get_many::<MemberRow>(keys).await?;
        let both = mine.into_iter().zip(found);
        // The partition is a hash: the name decides.
        let both = both.filter(|(_, row)| row.as_ref().is_some_and(|row| row.user_id == other));
        // A room that is joined between two pages does not shift the others.
        let mut rooms: Vec<_> = both.map(|(room, _)| (parts.hash16(room.as_str()), room)).collect();
        rooms.sort();
        let count = rooms.len();
        rooms.retain(|(hash, _)| from.is_none_or(|from| *hash > from));
        let is_cut = rooms.len() > PAGE_ROOMS_MAX;
        rooms.truncate(PAGE_ROOMS_MAX);
        let last = rooms.last().map(|(hash, _)| token_of(*hash));
        let rooms = rooms.into_iter().map(|(_, room)| room).collect();
        Ok(MutualRooms { rooms, next: last.filter(|_| is_cut), count })
    }
}

fn token_of(hash: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(hash))
}

fn hash_of(token: &str) -> Result<[u8; 16], RoomsError> {
    let is_ours = token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = is_ours.then(|| u128::from_str_radix(token, 16).ok()).flatten();
    number.map(u128::to_be_bytes).ok_or(RoomsError::Invalid("unknown pagination token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_and_garbage_does_not() {
        let hash = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255];
        assert_eq!(hash_of(&token_of(hash)).ok(), Some(hash));
        for bad in ["", "x", "0", &"g".repeat(32), &"+".repeat(32), &"0".repeat(33)] {
            assert!(hash_of(bad).is_err(), "{bad}");
        }
    }
}
