//! Room summaries: heroes and counts (spec: client-server API, "Syncing", `RoomSummary`).

use blaupause_data::{
    Data, DataError, Found, Member, Order, ReadSet,
    rows::{HeadRow, MemberRow, RoomHead, RoomMember},
};
use ruma::{RoomId, UInt, UserId, api::client::sync::sync_events::v3::RoomSummary};

/// Heroes that are named.
const HEROES_MAX: usize = 5;

/// Some members to name a room after when it has no name: joined and invited ones, or those who
/// left if nobody else is there; and what the room is now.
pub(crate) async fn heroes(
    data: &Data,
    room: &RoomId,
    user: &UserId,
) -> Result<(Vec<RoomMember>, Option<Found<RoomHead>>), DataError> {
    let part = data.parts().room(room);
    let mut want = ReadSet::new();
    let limit = HEROES_MAX as u32 + 1;
    let slots = [Member::Join, Member::Invite, Member::Leave, Member::Ban]
        .map(|member| want.prefix::<MemberRow>(part, &(member as u8), Order::Forward, limit));
    let head = want.get::<HeadRow>(part, &());
    let got = want.run(data).await?;
    let mut heroes = Vec::new();
    for (index, slot) in slots.into_iter().enumerate() {
        if index == 2 && !heroes.is_empty() {
            break;
        }
        let rows = got.many(slot)?.rows.into_iter().map(|(_, row)| row.value);
        heroes.extend(rows.filter(|member| member.user_id != user));
    }
    heroes.truncate(HEROES_MAX);
    Ok((heroes, got.one(head)?))
}

/// The summary of a joined room. One round trip.
pub(crate) async fn summary(
    data: &Data,
    room: &RoomId,
    user: &UserId,
) -> Result<RoomSummary, DataError> {
    let (heroes, head) = heroes(data, room, user).await?;
    let mut summary = RoomSummary::new();
    summary.heroes = heroes.into_iter().map(|member| member.user_id).collect();
    if let Some(head) = head {
        summary.joined_member_count = UInt::new(head.joined);
        summary.invited_member_count = UInt::new(head.invited);
    }
    Ok(summary)
}
