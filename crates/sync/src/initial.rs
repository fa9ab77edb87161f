//! `GET /initialSync`: everything at once (deprecated; spec: client-server API, "Get the user's
//! current state").

use blaupause_data::{Found, Member, StreamPos, rows::UserRoom, try_together};
use blaupause_rooms::{Reader, RoomsError};
use ruma::{
    OwnedRoomId,
    events::{AnyGlobalAccountDataEvent, AnyRoomAccountDataEvent, presence::PresenceEvent},
    serde::Raw,
};
use serde_json::value::RawValue;

use crate::{Sync, SyncError, span::View};

/// How much is wanted.
#[derive(Clone, Copy, Debug)]
pub struct InitialSyncQuery {
    /// Messages of each room, cut to 1…100.
    pub limit: u64,
    /// Rooms that were left, too.
    pub archived: bool,
}

/// Everything that concerns a user.
#[derive(Debug)]
pub struct InitialSync {
    /// For `/events`.
    pub end: String,
    pub rooms: Vec<InitialRoom>,
    pub presence: Vec<Raw<PresenceEvent>>,
    pub account_data: Vec<Raw<AnyGlobalAccountDataEvent>>,
}

/// One of the user's rooms.
#[derive(Debug)]
pub struct InitialRoom {
    pub room_id: OwnedRoomId,
    pub membership: Member,
    /// The event with which the user was invited.
    pub invite: Option<Box<RawValue>>,
    /// Messages, oldest first, and the state; `None` for rooms that the user may not read.
    pub content: Option<blaupause_rooms::InitialSync>,
    pub account_data: Vec<Raw<AnyRoomAccountDataEvent>>,
    /// Whether the room is in the directory.
    pub is_published: bool,
}

impl Sync {
    /// Everything that concerns a user.
    ///
    /// # Errors
    /// The store failed.
    pub async fn initial_sync(
        &self,
        reader: &Reader,
        query: InitialSyncQuery,
    ) -> Result<InitialSync, SyncError> {
        let slot = self.notifier().connect(&reader.user);
        let view = self.view(&slot, None).await?;
        let until = view.span.until;
        let rooms = view.rooms.iter().filter(|room| is_wanted(room, query.archived));
        let rooms = rooms.map(|room| self.initial_room(reader, room, query.limit, until));
        let rooms = self.data().in_waves(try_together(rooms)).await?;
        let news = self.news(&reader.user, None, &view.span);
        let account_data = self.account_data_news(&reader.user, &view.span, &news).await?;
        Ok(InitialSync {
            end: self.token_at(&view.span).to_string(),
            rooms,
            presence: self.everybodys_presence(reader, &view).await?,
            account_data,
        })
    }

    async fn initial_room(
        &self,
        reader: &Reader,
        room: &Found<UserRoom>,
        limit: u64,
        until: StreamPos,
    ) -> Result<InitialRoom, SyncError> {
        let id = &room.room_id;
        let is_member = !matches!(room.membership, Member::Invite | Member::Knock);
        let content = async {
            let access = if is_member { self.readable(reader, id).await? } else { None };
            match access {
                Some(access) => Ok(Some(access.initial_sync_with(limit).await?)),
                None => Ok::<_, SyncError>(None),
            }
        };
        let invite = async {
            match room.membership {
                Member::Invite => self.own_member_event(room).await,
                _ => Ok(None),
            }
        };
        let (content, invite, account_data, is_published) = tokio::join!(
            content,
            invite,
            self.room_account_data(&reader.user, id, None, until),
            self.rooms().is_published(id),
        );
        Ok(InitialRoom {
            room_id: id.clone(),
            membership: room.membership,
            invite: invite?,
            content: content?,
            account_data: account_data?,
            is_published: match is_published {
                // An invitation to a room of another server.
                Err(RoomsError::RoomUnknown) => false,
                known => known?,
            },
        })
    }

    /// The presence of everybody who is connected and shares a room with the reader, and theirs.
    async fn everybodys_presence(
        &self,
        reader: &Reader,
        view: &View,
    ) -> Result<Vec<Raw<PresenceEvent>>, SyncError> {
        let presence = self.accounts().presence();
        if !presence.is_enabled() {
            return Ok(Vec::new());
        }
        let users = Box::pin(self.present(&reader.user, &view.joined())).await?;
        let events = users.iter().filter_map(|user| presence.event(user));
        Ok(events.filter_map(|event| Raw::new(&event).ok()).collect())
    }
}

fn is_wanted(room: &Found<UserRoom>, archived: bool) -> bool {
    !room.forgotten
        && match room.membership {
            Member::Join | Member::Invite => true,
            Member::Leave | Member::Ban => archived && room.was_joined,
            Member::Knock => false,
        }
}
