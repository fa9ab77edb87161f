//! Who is in a room.

use std::collections::BTreeMap;

use blaupause_data::{
    Member,
    rows::{MemberRow, RoomMember},
};
use blaupause_graph::StateRoot;
use ruma::OwnedUserId;
use serde_json::value::RawValue;

use super::{RoomAccess, token, visibility::membership_in};
use crate::RoomsError;

/// Members of each membership that are told of.
const MEMBERS_MAX: u32 = 1_000_000;

/// Which members. With both `membership` and `not_membership` it is enough to fit one of them
/// (client-server API, `GET /rooms/{roomId}/members`).
#[derive(Clone, Debug, Default)]
pub struct MembersQuery {
    /// The gap in the timeline at which to look, a pagination token.
    pub at: Option<String>,
    pub membership: Option<Member>,
    pub not_membership: Option<Member>,
}

/// A joined member as others see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
}

impl MembersQuery {
    fn fits(&self, member: Member) -> bool {
        match (self.membership, self.not_membership) {
            (None, None) => true,
            (wanted, unwanted) => {
                wanted.is_some_and(|wanted| wanted == member)
                    || unwanted.is_some_and(|unwanted| unwanted != member)
            }
        }
    }
}

impl RoomAccess {
    /// Member events.
    ///
    /// # Errors
    /// [`RoomsError::Invalid`] if `at` is not one of our tokens.
    pub async fn members(&self, query: &MembersQuery) -> Result<Vec<Box<RawValue>>, RoomsError> {
        let at = token::parse_optional(query.at.as_deref())?;
        if let Some(later) = self.when_whole().await? {
            return Box::pin(later.members(query)).await;
        }
        let state = match at {
            Some(at) => self.state_at(self.not_partial_at(at).await?).await?,
            None => self.state(),
        };
        let state = if state == StateRoot::EMPTY { self.first_state().await? } else { state };
        if state == self.head.state {
            let rows = self.current_members(query).await?;
            let events = self.load(rows.into_iter().map(|row| row.no).collect()).await?;
            return Ok(self.serialize_state(&events));
        }
        let mut events = self.state_events(state, None).await?;
        events.retain(|event| {
            event.kind == "m.room.member"
                && query.fits(Member::from_state(&membership_in(Some(event))))
        });
        Ok(self.serialize_state(&events))
    }

    /// Who is joined now.
    ///
    /// # Errors
    /// [`RoomsError::NotJoined`] for who has left.
    pub async fn joined_members(&self) -> Result<BTreeMap<OwnedUserId, JoinedMember>, RoomsError> {
        self.must_reach_now()?;
        if let Some(later) = self.when_whole().await? {
            return Box::pin(later.joined_members()).await;
        }
        let query = MembersQuery { membership: Some(Member::Join), ..MembersQuery::default() };
        let rows = self.current_members(&query).await?.into_iter();
        Ok(rows
            .map(|RoomMember { user_id, display_name, avatar_url, .. }| {
                (user_id, JoinedMember { display_name, avatar_url })
            })
            .collect())
    }

    async fn current_members(&self, query: &MembersQuery) -> Result<Vec<RoomMember>, RoomsError> {
        let all = [Member::Join, Member::Invite, Member::Knock, Member::Leave, Member::Ban];
        let wanted = all.into_iter().filter(|member| query.fits(*member));
        let prefixes: Vec<u8> = wanted.map(|member| member as u8).collect();
        let lists: Vec<_> = prefixes.iter().map(|prefix| (self.part, prefix)).collect();
        let pages = self.rooms.data().lists_all::<MemberRow, _>(&lists, MEMBERS_MAX).await?;
        let rows = pages.into_iter().flat_map(|page| page.rows);
        Ok(rows.map(|(_, row)| row.value).collect())
    }
}
