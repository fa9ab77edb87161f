//! People come, go, invite, throw out and ask to be let in.
//!
//! Who may do what is decided by the authorization rules; here stands only what the rules take
//! for something else (both kicking and unbanning send `leave`) and what needs no event at all.

use std::collections::BTreeSet;

use blaupause_data::{Change, Member, Write, rows::UserRoomRow};
use blaupause_graph::{Draft, Pdu};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::{Map, Value, json};

use crate::{
    Rooms, RoomsError, SendState, append::Appending, member_rows::Membership,
    profiles::add_profile, redact::REDACT_EVENTS, validate,
};

/// What is to become of a person's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipAction {
    Join,
    Leave,
    Knock,
    Invite,
    Kick,
    Ban,
    Unban,
}

/// Somebody changes a membership, their own or another's.
#[derive(Clone, Debug)]
pub struct ChangeMembership {
    pub room: OwnedRoomId,
    pub sender: OwnedUserId,
    /// Whose membership; the sender's own for joining, leaving and knocking.
    pub target: OwnedUserId,
    pub action: MembershipAction,
    pub reason: Option<String>,
    /// With a kick or ban: what the person said goes, too (MSC4293).
    pub redact_events: bool,
    /// A guest comes in only where the room allows guests.
    pub as_guest: bool,
    /// An invitation to a direct chat.
    pub is_direct: bool,
    /// Servers through which a room can be reached that this server is not in.
    pub via: Vec<OwnedServerName>,
    /// What else the member event of a join says; what the server says goes first.
    pub more_content: Map<String, Value>,
}

/// What only the server may say in a member event.
const SERVERS_CONTENT: [&str; 4] =
    ["membership", "third_party_invite", "join_authorised_via_users_server", "reason"];

impl MembershipAction {
    fn membership(self) -> Member {
        match self {
            Self::Join => Member::Join,
            Self::Leave | Self::Kick | Self::Unban => Member::Leave,
            Self::Knock => Member::Knock,
            Self::Invite => Member::Invite,
            Self::Ban => Member::Ban,
        }
    }

    /// Whether what another member is, or what one was before, has to be known.
    fn concerns_others(self) -> bool {
        match self {
            Self::Join | Self::Leave => false,
            Self::Knock | Self::Invite | Self::Kick | Self::Ban | Self::Unban => true,
        }
    }

    /// Whether an event is needed for somebody who now has this membership.
    fn changes(self, now: Option<Member>) -> Result<bool, RoomsError> {
        match (self, now) {
            (Self::Join, Some(Member::Join)) | (Self::Leave, Some(Member::Leave)) => Ok(false),
            (Self::Leave, None) => Err(RoomsError::NotJoined),
            (Self::Leave, Some(Member::Ban)) => {
                Err(RoomsError::Forbidden("you are banned from this room"))
            }
            (Self::Kick, None | Some(Member::Leave)) => {
                Err(RoomsError::Forbidden("this person is not in the room"))
            }
            // To the rules, an unban is a kick of somebody who is banned.
            (Self::Kick, Some(Member::Ban)) => {
                Err(RoomsError::Forbidden("this person is banned; lift the ban instead"))
            }
            (Self::Unban, now) if now != Some(Member::Ban) => {
                Err(RoomsError::Forbidden("this person is not banned"))
            }
            _ => Ok(true),
        }
    }
}

impl ChangeMembership {
    /// Somebody's own doing.
    pub fn own(room: OwnedRoomId, user: OwnedUserId, action: MembershipAction) -> Self {
        let (sender, target) = (user.clone(), user);
        Self::of(room, sender, target, action)
    }

    /// Somebody does something to another person.
    pub fn of(
        room: OwnedRoomId,
        sender: OwnedUserId,
        target: OwnedUserId,
        action: MembershipAction,
    ) -> Self {
        let redact_events = false;
        let (reason, via) = (None, Vec::new());
        Self {
            more_content: Map::new(),
            room,
            sender,
            target,
            action,
            reason,
            redact_events,
            as_guest: false,
            is_direct: false,
            via,
        }
    }

    /// With a reason that everybody in the room can read.
    #[must_use]
    pub fn because(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }
}

impl Rooms {
    /// Change a membership. Nothing happens if it already is as wished. Durable when this
    /// returns. Other servers are asked where it needs them, and what they began goes on even if
    /// the caller does not wait.
    ///
    /// # Errors
    /// [`RoomsError::RoomUnknown`], [`RoomsError::NotJoined`], [`RoomsError::Forbidden`],
    /// [`RoomsError::InviteBlocked`], [`RoomsError::Refused`] by the rules of the room,
    /// [`RoomsError::Federation`] if another server was of no use.
    pub async fn change_membership(&self, change: &ChangeMembership) -> Result<(), RoomsError> {
        if change.action.concerns_others() {
            self.whole(&change.room).await?;
        }
        if self.needs_others(change).await? {
            return self.change_with_others(change).await;
        }
        match self.change_here(change).await {
            // Somebody of another server may let them in.
            Err(RoomsError::CannotGrantJoin) if self.federation().is_on() => {
                self.join_by_others_leave(change).await
            }
            done => done,
        }
    }

    /// Change a membership in a room that this server is in.
    pub(crate) async fn change_here(&self, change: &ChangeMembership) -> Result<(), RoomsError> {
        let mut content = self.member_content(change).await?;
        for (name, value) in &change.more_content {
            if !content.contains_key(name) && !SERVERS_CONTENT.contains(&&**name) {
                content.insert(name.clone(), value.clone());
            }
        }
        if let Some(reason) = &change.reason {
            content.insert("reason".to_owned(), json!(reason));
        }
        if change.redact_events {
            content.insert(REDACT_EVENTS.to_owned(), json!(true));
        }
        let done = self.in_turn(|| {
            Box::pin(async {
                let mut lane = self.lane(&change.room).await?;
                let mut batch = Appending::new(self, lane.room()?);
                let now = batch.membership(&change.target).await?;
                if !change.action.changes(now)? {
                    return Ok(());
                }
                if change.action == MembershipAction::Leave && now == Some(Member::Invite) {
                    self.check_may_decline(&change.target, &change.room).await?;
                }
                let mut content = content.clone();
                if change.action == MembershipAction::Join {
                    self.before_join(&mut batch, change, now, &mut content).await?;
                }
                let draft =
                    self.member_draft(&change.room, &change.sender, &change.target, &content)?;
                // A second invitation with the same words says nothing new.
                if batch.says_already(&draft).await?.is_some() {
                    return Ok(());
                }
                batch.push(draft).await?;
                let write = batch.finish();
                lane.commit(self.data(), write).await?;
                Ok(())
            })
        });
        done.await?;
        if change.action.membership() != Member::Join {
            self.stop_typing(&change.room, &change.target);
        }
        Ok(())
    }

    /// Content of the event but for the reason, with the profile of who comes in.
    async fn member_content(
        &self,
        change: &ChangeMembership,
    ) -> Result<Map<String, Value>, RoomsError> {
        let mut content = Map::new();
        match change.action {
            MembershipAction::Join => return self.join_content(&change.target).await,
            MembershipAction::Invite => {
                let target = BTreeSet::from([change.target.clone()]);
                let invitation = self.invitations(&change.sender, &target, false).await?.pop();
                if let Some((_, Value::Object(invitation))) = invitation {
                    return Ok(invitation);
                }
            }
            MembershipAction::Knock => {
                add_profile(&mut content, &self.profile(&change.target).await?);
            }
            _ => {}
        }
        let membership = change.action.membership().to_state();
        content.insert("membership".to_owned(), json!(membership));
        Ok(content)
    }

    async fn before_join(
        &self,
        batch: &mut Appending<'_>,
        change: &ChangeMembership,
        now: Option<Member>,
        content: &mut Map<String, Value>,
    ) -> Result<(), RoomsError> {
        if change.as_guest && !batch.admits_guests().await? {
            return Err(RoomsError::Forbidden("this room does not admit guests"));
        }
        if now != Some(Member::Invite)
            && let Some(by) = batch.authorising_user(&change.target).await?
        {
            content.insert("join_authorised_via_users_server".to_owned(), json!(by));
        }
        Ok(())
    }

    /// Set a member event as any other state event: the content is the sender's, as far as the
    /// rules allow.
    pub(crate) async fn set_member_event(
        &self,
        request: SendState,
    ) -> Result<OwnedEventId, RoomsError> {
        let target = UserId::parse(request.state_key.as_str())
            .map_err(|_| RoomsError::Invalid("the state key of a member is a user id"))?;
        let mut given = validate::object(&request.content)?;
        // Only this server says who vouches for a join.
        given.remove("join_authorised_via_users_server");
        let wanted = given.get("membership").and_then(Value::as_str).unwrap_or_default().to_owned();
        match wanted.as_str() {
            "invite" if given.contains_key("third_party_invite") => {
                return Err(RoomsError::ThirdPartyInvite);
            }
            "invite" if !self.data().is_local(&target) => {
                let draft = self.member_draft(&request.room, &request.sender, &target, &given)?;
                return self.invite_with(&target, draft).await;
            }
            "invite" => {
                let invited = BTreeSet::from([target.to_owned()]);
                self.invitations(&request.sender, &invited, false).await?;
            }
            "join" if target == request.sender => {
                add_profile(&mut given, &self.profile(&target).await?);
            }
            _ => {}
        }
        if target != request.sender {
            self.whole(&request.room).await?;
        }
        // What is known of a room that others are in and we are not may be long past.
        if self.is_outside(&request.room).await? {
            return Err(RoomsError::RoomUnknown);
        }
        self.in_turn(|| {
            Box::pin(async {
                let mut lane = self.lane(&request.room).await?;
                let mut batch = Appending::new(self, lane.room()?);
                let mut content = given.clone();
                let now = batch.membership(&target).await?;
                let comes_in = !matches!(now, Some(Member::Join | Member::Invite));
                if wanted == "leave" && target == request.sender && now == Some(Member::Invite) {
                    self.check_may_decline(&target, &request.room).await?;
                }
                if wanted == "join"
                    && comes_in
                    && let Some(by) = batch.authorising_user(&target).await?
                {
                    content.insert("join_authorised_via_users_server".to_owned(), json!(by));
                }
                let draft = self.member_draft(&request.room, &request.sender, &target, &content)?;
                if let Some(same) = batch.says_already(&draft).await? {
                    return Ok(same.event_id().to_owned());
                }
                let event = batch.push(draft).await?.event_id().to_owned();
                let write = batch.finish();
                lane.commit(self.data(), write).await?;
                Ok(event)
            })
        })
        .await
    }

    pub(crate) fn member_draft(
        &self,
        room: &RoomId,
        sender: &UserId,
        target: &UserId,
        content: &Map<String, Value>,
    ) -> Result<Draft, RoomsError> {
        let draft = Draft::new(
            Some(room.to_owned()),
            sender.to_owned(),
            TimelineEventType::RoomMember,
            validate::raw(content)?,
            self.data().env().now(),
        );
        Ok(draft.state_key(target.as_str()))
    }

    /// No longer show a room that the user has left, nor its history. The others notice nothing.
    ///
    /// # Errors
    /// [`RoomsError::StillInRoom`] before leaving.
    pub async fn forget(&self, user: &UserId, room: &RoomId) -> Result<(), RoomsError> {
        let (home, part) = (self.data().parts().user(user), self.data().parts().room(room));
        // The row belongs to the room, so it changes in the room's lane.
        let lane = self.lanes().enter(part).await;
        let Some(row) = self.data().membership(user, room).await? else { return Ok(()) };
        match row.membership {
            Member::Leave | Member::Ban if row.forgotten => return Ok(()),
            Member::Leave | Member::Ban => {}
            Member::Join | Member::Invite | Member::Knock => return Err(RoomsError::StillInRoom),
        }
        let (entered, membership) = (Some(row.entered_at().0), row.membership);
        let mut row = row.value;
        (row.forgotten, row.entered) = (true, entered);
        let mut write = Write::new(part);
        write.put::<UserRoomRow>(home, &part, &row);
        let (user, room) = (user.to_owned(), row.room_id);
        write.change(&Change::Membership { user, room, membership });
        self.data().commit(write).await?;
        drop(lane);
        Ok(())
    }
}

impl Appending<'_> {
    /// What somebody is to the room; `None` if they never were anything. Looks it up.
    pub(crate) async fn membership(&mut self, user: &UserId) -> Result<Option<Member>, RoomsError> {
        let name = (StateEventType::RoomMember, user.to_string());
        self.look_up(std::slice::from_ref(&name)).await?;
        Ok(self.state(&name.0, &name.1).map(|pdu| Membership::of(&pdu).member))
    }

    pub(crate) async fn admits_guests(&mut self) -> Result<bool, RoomsError> {
        let name = (StateEventType::RoomGuestAccess, String::new());
        self.look_up(std::slice::from_ref(&name)).await?;
        Ok(self.state(&name.0, &name.1).is_some_and(|pdu| admits_guests(&pdu)))
    }
}

/// Whether a `m.room.guest_access` event lets guests in.
pub(crate) fn admits_guests(pdu: &Pdu) -> bool {
    #[derive(serde::Deserialize)]
    struct Content {
        guest_access: String,
    }
    pdu.content_as::<Content>().is_ok_and(|content| content.guest_access == "can_join")
}
