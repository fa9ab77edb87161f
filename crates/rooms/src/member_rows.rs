//! Rows that follow from a membership event: the room's members, the user's rooms, the counts.

use blaupause_data::{
    Change, Member,
    rows::{MemberRow, RoomHead, RoomMember, UserRoom, UserRoomRow},
};
use blaupause_graph::{EventNo, Pdu};
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};
use serde::Deserialize;

use crate::{RoomsError, append::Appending};

/// Longest display name and avatar URL that are shown in lists, in bytes. Longer ones remain in
/// the event.
const PROFILE_BYTES_MAX: usize = 1_000;

/// What a membership event says, as far as it has the right types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub member: Member,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
}

impl Membership {
    pub(crate) fn of(pdu: &Pdu) -> Self {
        #[derive(Deserialize)]
        struct Content {
            membership: MembershipState,
        }
        #[derive(Deserialize)]
        struct Name {
            displayname: String,
        }
        #[derive(Deserialize)]
        struct Avatar {
            avatar_url: String,
        }
        let member = pdu.content_as::<Content>();
        let member =
            member.map_or(Member::Leave, |content| Member::from_state(&content.membership));
        let short = |text: &String| text.len() <= PROFILE_BYTES_MAX;
        Self {
            member,
            display_name: pdu.content_as::<Name>().ok().map(|name| name.displayname).filter(short),
            avatar_url: pdu
                .content_as::<Avatar>()
                .ok()
                .map(|avatar| avatar.avatar_url)
                .filter(short),
        }
    }
}

impl Appending<'_> {
    /// Write what the event of a member changes. `before`: the member's event until now.
    pub(crate) async fn write_member(
        &mut self,
        pdu: &Pdu,
        no: EventNo,
        before: Option<&Pdu>,
    ) -> Result<(), RoomsError> {
        let Some(Ok(user_id)) = pdu.state_key().map(OwnedUserId::try_from) else { return Ok(()) };
        let (now, before) = (Membership::of(pdu), before.map(Membership::of));
        let data = self.rooms.data();
        let (part, user) = (self.part(), data.parts().user(&user_id));
        if let Some(before) = &before {
            count(&mut self.head, before.member, |count| count.saturating_sub(1));
            if before.member != now.member {
                self.write.del::<MemberRow>(part, &(before.member as u8, user));
            }
        }
        count(&mut self.head, now.member, |count| count + 1);
        let row = RoomMember {
            user_id: user_id.clone(),
            no,
            display_name: now.display_name,
            avatar_url: now.avatar_url,
        };
        self.write.put::<MemberRow>(part, &(now.member as u8, user), &row);
        if !data.is_local(&user_id) {
            return Ok(());
        }
        let row = self.user_room(pdu, &user_id, no, now.member, before.is_some()).await?;
        self.write.put::<UserRoomRow>(user, &part, &row);
        self.user_rooms.insert(user_id.clone(), row);
        let room = self.head.room_id.clone();
        self.write.change(&Change::Membership { user: user_id, room, membership: now.member });
        Ok(())
    }

    /// The room as the user now sees it.
    async fn user_room(
        &mut self,
        pdu: &Pdu,
        user_id: &UserId,
        no: EventNo,
        membership: Member,
        was_known: bool,
    ) -> Result<UserRoom, RoomsError> {
        let stripped = match membership {
            Member::Invite | Member::Knock => self.stripped_for(pdu).await?,
            _ => Vec::new(),
        };
        let mut row = UserRoom {
            room_id: self.head.room_id.clone(),
            membership,
            entered: None,
            no: Some(no),
            sender: pdu.sender().to_owned(),
            forgotten: false,
            was_joined: membership == Member::Join,
            stripped,
        };
        if let Some(old) = self.user_rooms.get(user_id) {
            // Written by this same batch: the new row says when.
            row.was_joined |= old.was_joined;
        } else if was_known
            && let Some(old) = self.rooms.data().membership(user_id, &row.room_id).await?
        {
            row.was_joined |= old.was_joined;
            row.entered = (old.membership == membership).then(|| old.entered_at().0);
            let gone = |member| matches!(member, Member::Leave | Member::Ban);
            row.forgotten = old.forgotten && gone(membership) && gone(old.membership);
        }
        Ok(row)
    }
}

fn count(head: &mut RoomHead, member: Member, change: impl Fn(u64) -> u64) {
    match member {
        Member::Join => head.joined = change(head.joined),
        Member::Invite => head.invited = change(head.invited),
        Member::Knock | Member::Leave | Member::Ban => {}
    }
}
