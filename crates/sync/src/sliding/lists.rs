//! Which rooms are in a list, and in which order.

use std::{collections::HashSet, sync::Arc};

use blaupause_data::{Found, Member, StreamPos, rows::UserRoom};
use ruma::{
    OwnedRoomId, UInt,
    api::client::sync::sync_events::v5::{self, request::ListFilters},
    directory::RoomTypeFilter,
    room::RoomType,
};

use super::{Pass, facts::Facts, required::Configs};
use crate::{Sync, SyncError};

/// A room that can be in a list.
struct Entry<'a> {
    room: &'a Found<UserRoom>,
    facts: Arc<Facts>,
    bump: StreamPos,
}

impl Sync {
    /// Fill in the lists' lengths and note the wishes for the rooms in their windows.
    pub(super) async fn apply_lists(
        &self,
        pass: &Pass<'_>,
        configs: &mut Configs<'_>,
        response: &mut v5::Response,
    ) -> Result<(), SyncError> {
        let lists = &pass.request.body.lists;
        if lists.is_empty() {
            return Ok(());
        }
        let listed: Vec<_> = pass
            .view
            .rooms
            .iter()
            .filter(|room| pass.span.is_told_by(room) && !room.forgotten)
            .filter(|room| matches!(room.membership, Member::Join | Member::Invite | Member::Knock))
            .collect();
        let ids: Vec<_> = listed.iter().map(|room| room.room_id.clone()).collect();
        let facts = self.facts(&ids).await?;
        let mut entries: Vec<_> = listed
            .into_iter()
            .zip(facts)
            .map(|(room, facts)| {
                let bump = if room.membership == Member::Join { facts.bump } else { room.pos };
                Entry { room, facts, bump }
            })
            .collect();
        entries
            .sort_by(|a, b| b.bump.cmp(&a.bump).then_with(|| a.room.room_id.cmp(&b.room.room_id)));
        for (name, list) in lists {
            let details = &list.room_details;
            let wish = configs.wish(&details.required_state, details.timeline_limit.into());
            let chosen: Vec<_> = entries
                .iter()
                .filter(|entry| {
                    list.filters.as_ref().is_none_or(|filters| passes(filters, entry, &pass.direct))
                })
                .collect();
            configs.listed(chosen.iter().map(|entry| &entry.room.room_id));
            for (from, to) in &list.ranges {
                let (from, to) = (u64::from(*from) as usize, u64::from(*to) as usize);
                let window =
                    chosen.iter().skip(from).take(to.saturating_sub(from).saturating_add(1));
                for entry in window {
                    configs.add(&entry.room.room_id, &wish);
                }
            }
            let mut answer = v5::response::List::default();
            answer.count = UInt::new_saturating(chosen.len() as u64);
            response.lists.insert(name.clone(), answer);
        }
        Ok(())
    }
}

fn passes(filters: &ListFilters, entry: &Entry<'_>, direct: &HashSet<OwnedRoomId>) -> bool {
    let is_invite = entry.room.membership == Member::Invite;
    let room_type = match &entry.facts.room_type {
        Some(kind) => RoomTypeFilter::from(Some(kind.clone())),
        None => RoomTypeFilter::Default,
    };
    filters.is_dm.is_none_or(|wanted| wanted == direct.contains(&entry.room.room_id))
        && filters.is_encrypted.is_none_or(|wanted| wanted == entry.facts.encrypted)
        && filters.is_invite.is_none_or(|wanted| wanted == is_invite)
        && (filters.room_types.is_empty() || filters.room_types.contains(&room_type))
        && !filters.not_room_types.contains(&room_type)
}

/// The type of a room as its create event says.
pub(super) fn room_type(text: Option<String>) -> Option<RoomType> {
    text.map(RoomType::from)
}
