//! Finding people (spec: "User Directory").

use std::collections::HashSet;

use blaupause_data::{DIRECTORY, LIMITS, Member, Order, ReadSet};
use ruma::{OwnedMxcUri, OwnedRoomId, OwnedUserId, UserId};

use crate::{Accounts, AccountsError, rows::LocalUserRow};

/// Local people looked at in one search.
const SCANNED_MAX: u32 = 100_000;
/// Rooms looked at for people of other servers and for whom one shares a room with.
const ROOMS_MAX: usize = 1_000;
/// Characters of a search term; what is beyond is cut off.
const TERM_LENGTH_MAX: usize = 255;
/// People found at most.
const FOUND_MAX: usize = 50;

/// A search.
#[derive(Clone, Debug)]
pub struct SearchUsers<'a> {
    pub asking: &'a UserId,
    pub term: &'a str,
    /// People to answer at most.
    pub limit: usize,
    /// Public rooms of this server: people in them can be found by everybody.
    pub public_rooms: Vec<OwnedRoomId>,
}

/// Somebody who was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundUser {
    pub user_id: OwnedUserId,
    pub display_name: Option<String>,
    pub avatar_url: Option<OwnedMxcUri>,
}

/// Who was found, best first, and whether there were more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsersFound {
    pub users: Vec<FoundUser>,
    pub limited: bool,
}

impl Accounts {
    /// Find people by local part or display name. Whoever shares a room with the asking user or
    /// is in a public room can be found; everybody here, if the operator allows that. Names that
    /// local people gave themselves in single rooms are neither looked at nor shown.
    ///
    /// # Errors
    /// The store failed.
    pub async fn search_users(&self, search: SearchUsers<'_>) -> Result<UsersFound, AccountsError> {
        let term: String = search.term.chars().take(TERM_LENGTH_MAX).collect();
        let term = term.trim().trim_start_matches('@').to_lowercase();
        if term.is_empty() {
            return Ok(UsersFound::default());
        }
        let mut found = Vec::new();
        let joined = self.data().joined_rooms(search.asking).await?;
        // Who is in a public room is found by everybody, by themselves, too.
        let finds_themselves = joined.iter().any(|room| search.public_rooms.contains(room));
        let (near, truncated) = self.near(&search, joined, &term, &mut found).await?;
        let mut want = ReadSet::new();
        let rows = want.prefix::<LocalUserRow>(DIRECTORY, &(), Order::Forward, SCANNED_MAX);
        let page = want.run(self.data()).await?.many(rows)?;
        let server = self.data().server_name();
        for (localpart, row) in page.rows {
            let Some(rank) = rank(&term, &localpart, server.as_str(), row.display_name.as_deref())
            else {
                continue;
            };
            let Ok(user_id) = UserId::parse(format!("@{localpart}:{server}")) else { continue };
            let may_be_found = if user_id == search.asking {
                finds_themselves
            } else {
                near.contains(&user_id) || self.settings().search_all_users
            };
            if !may_be_found {
                continue;
            }
            let user = FoundUser {
                user_id,
                display_name: row.value.display_name,
                avatar_url: row.value.avatar_url.map(OwnedMxcUri::from),
            };
            found.push((rank, user));
        }
        found.sort_by(|(a, x), (b, y)| (a, &x.user_id).cmp(&(b, &y.user_id)));
        let limit = search.limit.min(FOUND_MAX);
        let limited = found.len() > limit || page.more || truncated;
        let users = found.into_iter().take(limit).map(|(_, user)| user).collect();
        Ok(UsersFound { users, limited })
    }

    /// Local people who are near (share a room, or are in a public one); those of other servers
    /// who match are added to `found`. Also says whether there were more rooms, or members, than
    /// are looked at.
    async fn near(
        &self,
        search: &SearchUsers<'_>,
        mut rooms: Vec<OwnedRoomId>,
        term: &str,
        found: &mut Vec<(Rank, FoundUser)>,
    ) -> Result<(HashSet<OwnedUserId>, bool), AccountsError> {
        rooms.extend(search.public_rooms.iter().cloned());
        rooms.sort();
        rooms.dedup();
        let mut truncated = rooms.len() > ROOMS_MAX;
        rooms.truncate(ROOMS_MAX);
        let mut want = ReadSet::new();
        let slots: Vec<_> = rooms
            .iter()
            .map(|room| {
                let part = self.data().parts().room(room);
                let join = Member::Join as u8;
                want.prefix::<blaupause_data::rows::MemberRow>(
                    part,
                    &join,
                    Order::Forward,
                    LIMITS.scan_rows_max,
                )
            })
            .collect();
        let got = want.run(self.data()).await?;
        let mut near = HashSet::new();
        for slot in slots {
            // Of a very large room as many members are looked at as one answer holds.
            let page = got.many(slot)?;
            truncated |= page.more;
            for (_, row) in page.rows {
                let member = row.value;
                let is_local = self.data().is_local(&member.user_id);
                if !near.insert(member.user_id.clone()) || is_local {
                    continue;
                }
                let (local, server) = (member.user_id.localpart(), member.user_id.server_name());
                let name = member.display_name.as_deref();
                if let Some(rank) = rank(term, local, server.as_str(), name) {
                    let user = FoundUser {
                        user_id: member.user_id,
                        display_name: member.display_name,
                        avatar_url: member.avatar_url.map(OwnedMxcUri::from),
                    };
                    found.push((rank, user));
                }
            }
        }
        Ok((near, truncated))
    }
}

/// How well somebody matches; smaller is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The whole local part, user id or display name.
    Exact,
    /// The beginning of one of them.
    Beginning,
    /// The beginning of a word.
    Word,
    /// Somewhere.
    Inside,
}

/// `term` is in lower case.
fn rank(term: &str, localpart: &str, server: &str, display_name: Option<&str>) -> Option<Rank> {
    let localpart = localpart.to_lowercase();
    let name = display_name.map(str::to_lowercase).unwrap_or_default();
    if localpart == term
        || name == term
        || term.split_once(':').is_some_and(|(l, s)| l == localpart && s == server)
    {
        return Some(Rank::Exact);
    }
    if localpart.starts_with(term) || name.starts_with(term) {
        return Some(Rank::Beginning);
    }
    if name.split_whitespace().any(|word| word.starts_with(term)) {
        return Some(Rank::Word);
    }
    // Every word of the term somewhere: "anna amt" finds "Anna Schmidt (Bauamt)".
    let everywhere =
        term.split_whitespace().all(|word| name.contains(word) || localpart.contains(word));
    everywhere.then_some(Rank::Inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_matches_come_first() {
        let rank = |term: &str| rank(term, "aschmidt", "a.example", Some("Anna Schmidt (Bauamt)"));
        assert_eq!(rank("aschmidt"), Some(Rank::Exact));
        assert_eq!(rank("aschmidt:a.example"), Some(Rank::Exact));
        assert_eq!(rank("anna"), Some(Rank::Beginning));
        assert_eq!(rank("schmi"), Some(Rank::Word));
        assert_eq!(rank("amt"), Some(Rank::Inside));
        assert_eq!(rank("anna amt"), Some(Rank::Inside));
        assert_eq!(rank("meier"), None);
    }
}
