//! Rows that follow from a membership event: the room's members, the user's rooms, the counts.

use blaupause_data::{
    Change, Member,
    rows::{MemberRow, RoomHead, RoomMember, RoomServerRow, UserRoom, UserRoomRow},
};
use blaupause_graph::{EventNo, Pdu};
use ruma::{OwnedUserId, ServerName, UserId, events::room::member::MembershipState};
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
    /// Write what the event of a member changes in the current state. `before`: the member's event
    /// until now; `after`: the one from now on.
    pub(crate) async fn write_member(
        &mut self,
        user_id: &str,
        before: Option<&Pdu>,
        after: Option<(EventNo, &Pdu)>,
    ) -> Result<(), RoomsError> {
        let Ok(user_id) = OwnedUserId::try_from(user_id) else { return Ok(()) };
        let was = before.map(|pdu| Membership::of(pdu).member);
        let now = after.map(|(_, pdu)| Membership::of(pdu));
        let is = now.as_ref().map(|now| now.member);
        let data = self.rooms.data();
        let (part, user) = (self.part(), data.parts().user(&user_id));
        if let Some(was) = was {
            count(&mut self.head, was, |count| count.saturating_sub(1));
            if is != Some(was) {
                self.write.del::<MemberRow>(part, &(was as u8, user));
            }
        }
        if let (Some(now), Some((no, _))) = (now, after) {
            count(&mut self.head, now.member, |count| count + 1);
            let row = RoomMember {
                user_id: user_id.clone(),
                no,
                display_name: now.display_name,
                avatar_url: now.avatar_url,
            };
            self.write.put::<MemberRow>(part, &(now.member as u8, user), &row);
        }
        self.count_server(&user_id, was == Some(Member::Join), is == Some(Member::Join)).await?;
        if !data.is_local(&user_id) {
            return Ok(());
        }
        let row = match after {
            Some((no, pdu)) => self.user_room(pdu, &user_id, no, was.is_some()).await?,
            None => match self.user_room_without(&user_id).await? {
                Some(row) => row,
                None => return Ok(()),
            },
        };
        self.write.put::<UserRoomRow>(user, &part, &row);
        let membership = row.membership;
        self.user_rooms.insert(user_id.clone(), row);
        let room = self.head.room_id.clone();
        self.write.change(&Change::Membership { user: user_id, room, membership });
        Ok(())
    }

    /// The room as the user now sees it.
    async fn user_room(
        &mut self,
        pdu: &Pdu,
        user_id: &UserId,
        no: EventNo,
        was_known: bool,
    ) -> Result<UserRoom, RoomsError> {
        let membership = Membership::of(pdu).member;
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

    /// The room as a user sees it who, as it turns out, never was in it: branches were merged, and
    /// the one that let them in did not have the right to.
    async fn user_room_without(&self, user_id: &UserId) -> Result<Option<UserRoom>, RoomsError> {
        let old = self.rooms.data().membership(user_id, &self.head.room_id).await?;
        Ok(old.map(|old| UserRoom {
            membership: Member::Leave,
            entered: None,
            no: None,
            stripped: Vec::new(),
            ..old.value
        }))
    }

    /// Count a user of a server in or out.
    async fn count_server(
        &mut self,
        user_id: &UserId,
        was_joined: bool,
        is_joined: bool,
    ) -> Result<(), RoomsError> {
        if was_joined == is_joined {
            return Ok(());
        }
        self.add_to_server(user_id.server_name(), if is_joined { 1 } else { -1 }).await
    }

    /// Count somebody of a server in (1) or out (-1).
    pub(crate) async fn add_to_server(
        &mut self,
        server: &ServerName,
        change: i64,
    ) -> Result<(), RoomsError> {
        let server = server.to_owned();
        let (part, is_new) = (self.part(), self.hot.version == 0);
        let known = self.hot.servers.get(&server).copied();
        let count = match (self.servers.get(&server), known) {
            (Some(count), _) => *count,
            (None, Some(known)) => (known, known),
            (None, None) if is_new => (0, 0),
            (None, None) => {
                let row = self.rooms.data().get::<RoomServerRow>(part, &server).await?;
                let stored = row.map_or(0, |row| row.value);
                (stored, stored)
            }
        };
        let (was, now) = count;
        self.servers.insert(server, (was, now.saturating_add_signed(change)));
        Ok(())
    }

    /// The counts of the batch: absolute numbers, so written once, in its last piece.
    pub(crate) fn write_servers(&mut self) {
        let part = self.part();
        let mut came_or_went = false;
        for (server, (was, now)) in std::mem::take(&mut self.servers) {
            match now {
                0 => self.write.del::<RoomServerRow>(part, &server),
                now => self.write.put::<RoomServerRow>(part, &server, &now),
            }
            came_or_went |= (was == 0) != (now == 0);
            self.hot.servers.put(server, now);
        }
        if came_or_went {
            self.write.change(&Change::Servers { room: self.head.room_id.clone() });
        }
    }
}

fn count(head: &mut RoomHead, member: Member, change: impl Fn(u64) -> u64) {
    match member {
        Member::Join => head.joined = change(head.joined),
        Member::Invite => head.invited = change(head.invited),
        Member::Knock | Member::Leave | Member::Ban => {}
    }
}
