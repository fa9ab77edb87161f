//! Messages of the operator (spec: client-server API, "Server Notices"): one room for each person,
//! with an account of the server that nobody signs in to.

use blaupause_accounts::{AccountsError, NewAccount};
use blaupause_data::{Member, Write};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType, tag::TagInfo},
    profile::ProfileFieldName,
};
use serde_json::{json, value::RawValue};

use crate::{
    ChangeMembership, CreateRoom, MembershipAction, Preset, Rooms, RoomsError, SendEvent,
    SendState, Transaction, rows::NoticeRoomRow,
};

/// By which clients know the room.
const TAG: &str = "m.server_notice";
/// Power of everybody but the server: too little to say anything.
const READER_POWER: i64 = -10;

/// Who sends notices, and how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeSettings {
    /// Local part of the account they come from.
    pub localpart: String,
    pub display_name: String,
    pub room_name: String,
}

/// A message to one person.
#[derive(Clone, Debug)]
pub struct Notice {
    pub to: OwnedUserId,
    pub kind: String,
    /// A state event if there is one.
    pub state_key: Option<String>,
    /// A JSON object.
    pub content: Box<RawValue>,
    /// Makes the request safe to repeat.
    pub transaction: Option<Transaction>,
}

impl Rooms {
    /// Send a notice. The person is invited, if they are not in the room. Durable when this
    /// returns.
    ///
    /// # Errors
    /// [`RoomsError::NoticesOff`]; [`RoomsError::NotFound`] if there is no such person here;
    /// [`RoomsError::Forbidden`] if the account of the notices is somebody's; as
    /// [`Rooms::send`].
    pub async fn send_notice(&self, notice: Notice) -> Result<OwnedEventId, RoomsError> {
        let settings = self.settings().notices.as_ref().ok_or(RoomsError::NoticesOff)?;
        if !self.accounts().is_active(&notice.to).await? {
            return Err(RoomsError::NotFound("user"));
        }
        // Two first notices at once would make two rooms.
        let turn = self.notice_turn().lock().await;
        let sender = self.notice_sender(settings).await?;
        let room = self.notice_room(settings, &sender, &notice.to).await?;
        drop(turn);
        match notice.state_key {
            Some(state_key) => {
                let kind = StateEventType::from(notice.kind);
                let content = notice.content;
                self.send_state(SendState {
                    room,
                    sender,
                    kind,
                    state_key,
                    content,
                    timestamp: None,
                    sticky_ms: None,
                })
                .await
            }
            None => {
                let kind = TimelineEventType::from(notice.kind);
                let (content, transaction) = (notice.content, notice.transaction);
                self.send(SendEvent {
                    room,
                    sender,
                    kind,
                    content,
                    transaction,
                    timestamp: None,
                    sticky_ms: None,
                })
                .await
            }
        }
    }

    /// The account that notices come from. Made when it is needed; one that a person could sign in
    /// to is not taken, or they would speak for the server.
    async fn notice_sender(&self, settings: &NoticeSettings) -> Result<OwnedUserId, RoomsError> {
        let server = self.data().server_name();
        let sender = UserId::parse_with_server_name(settings.localpart.as_str(), server)
            .map_err(|_| RoomsError::Invalid("the account of server notices has no valid name"))?;
        let new =
            NewAccount { localpart: settings.localpart.clone(), password: None, admin: false };
        match self.accounts().account(&sender).await? {
            None => match self.accounts().create(new).await {
                Ok(_) | Err(AccountsError::UserInUse) => {}
                Err(error) => return Err(error.into()),
            },
            Some(account) => {
                let devices = self.accounts().device_names(&sender).await?;
                if account.has_password || account.guest || account.admin || !devices.is_empty() {
                    let text = "the account of server notices belongs to somebody";
                    return Err(RoomsError::Forbidden(text));
                }
            }
        }
        let name = Some(settings.display_name.as_str());
        let profile = self.profile(&sender).await?;
        if profile.display_name.as_deref() != name {
            let (field, value) = (ProfileFieldName::DisplayName, json!(name));
            self.accounts().set_profile_field(&sender, &field, &value).await?;
        }
        Ok(sender)
    }

    /// The person's room, with them in it or invited.
    async fn notice_room(
        &self,
        settings: &NoticeSettings,
        sender: &UserId,
        to: &UserId,
    ) -> Result<OwnedRoomId, RoomsError> {
        if let Some(room) = self.known_notice_room(to).await? {
            let ours = self.data().membership(sender, &room).await?;
            let theirs = self.data().membership(to, &room).await?;
            let is = |found: Option<Member>, wanted: &[Member]| {
                found.is_some_and(|found| wanted.contains(&found))
            };
            // Another account than ours now: the old room is nobody's any more.
            if is(ours.map(|ours| ours.membership), &[Member::Join]) {
                let theirs = theirs.map(|theirs| theirs.membership);
                if !is(theirs, &[Member::Join, Member::Invite]) {
                    let (sender, to) = (sender.to_owned(), to.to_owned());
                    let invite = MembershipAction::Invite;
                    let invite = ChangeMembership::of(room.clone(), sender, to, invite);
                    self.change_membership(&invite).await?;
                }
                return Ok(room);
            }
        }
        let mut request = CreateRoom::new(sender.to_owned());
        request.preset = Some(Preset::Private);
        request.name = Some(settings.room_name.clone());
        request.invite = vec![to.to_owned()];
        request.creation_content.insert("m.federate".to_owned(), json!(false));
        request.power_levels.insert("users_default".to_owned(), json!(READER_POWER));
        let room = self.create(request).await?;
        let part = self.data().parts().user(to);
        let mut write = Write::new(part);
        write.put::<NoticeRoomRow>(part, &(), &room);
        self.data().commit(write).await?;
        self.accounts().set_tag(to, &room, TAG, &TagInfo::new()).await?;
        Ok(room)
    }

    async fn known_notice_room(&self, user: &UserId) -> Result<Option<OwnedRoomId>, RoomsError> {
        let part = self.data().parts().user(user);
        let found = self.data().get::<NoticeRoomRow>(part, &()).await?;
        Ok(found.map(|found| found.value))
    }

    /// The invitation to hear the operator cannot be declined; who has accepted it may leave.
    pub(crate) async fn check_may_decline(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<(), RoomsError> {
        match self.known_notice_room(user).await? {
            Some(notices) if notices == room => Err(RoomsError::NoticeRoom),
            _ => Ok(()),
        }
    }

    /// Somebody's account is closed: they leave this room like any other.
    pub(crate) async fn forget_notices_of(&self, user: &UserId) -> Result<(), RoomsError> {
        if self.known_notice_room(user).await?.is_some() {
            let part = self.data().parts().user(user);
            let mut write = Write::new(part);
            write.del::<NoticeRoomRow>(part, &());
            self.data().commit(write).await?;
        }
        Ok(())
    }
}
