//! The first step: a template of the event.

use blaupause_data::Member;
use ruma::{CanonicalJsonObject, RoomId, UserId};
use serde_json::{Map, Value, json};

use super::{Handshake, Template, TemplateQuery};
use crate::{Rooms, RoomsError, append::Appending, validate};

impl Rooms {
    /// The event that another server's user would need (`make_join`, `make_knock`, `make_leave`).
    ///
    /// # Errors
    /// [`RoomsError::RoomUnknown`] if this server is not in the room; [`RoomsError::Forbidden`],
    /// [`RoomsError::Refused`], [`RoomsError::IncompatibleVersion`];
    /// [`RoomsError::CannotAuthoriseJoin`], [`RoomsError::CannotGrantJoin`] if another server may
    /// be able to.
    pub async fn member_template(
        &self,
        kind: Handshake,
        query: &TemplateQuery,
    ) -> Result<Template, RoomsError> {
        if kind != Handshake::Leave {
            self.must_be_whole_for_others(&query.room).await?;
        }
        let mut lane = self.lane(&query.room).await?;
        let mut batch = Appending::new(self, lane.room()?);
        batch.must_serve(&query.origin).await?;
        let version = batch.head.version.clone();
        if query.versions.as_ref().is_some_and(|known| !known.contains(&version)) {
            return Err(RoomsError::IncompatibleVersion(version));
        }
        if query.user.server_name() != query.origin {
            return Err(RoomsError::Forbidden("a server speaks for its own people only"));
        }
        let content = batch.offered_content(kind, &query.user).await?;
        let event = batch.unsigned_member(&query.room, &query.user, &content).await?;
        Ok(Template { version, event: validate::raw(&event)? })
    }
}

impl Appending<'_> {
    async fn offered_content(
        &mut self,
        kind: Handshake,
        user: &UserId,
    ) -> Result<Map<String, Value>, RoomsError> {
        let mut content = Map::new();
        content.insert("membership".to_owned(), json!(kind.membership()));
        if kind == Handshake::Join {
            let now = self.membership(user).await?;
            let comes_in = !matches!(now, Some(Member::Join | Member::Invite));
            if comes_in && let Some(by) = self.voucher_for(user).await? {
                content.insert("join_authorised_via_users_server".to_owned(), json!(by));
            }
        }
        Ok(content)
    }

    /// The event as it would be sealed, if it is allowed.
    async fn unsigned_member(
        &mut self,
        room: &RoomId,
        user: &UserId,
        content: &Map<String, Value>,
    ) -> Result<CanonicalJsonObject, RoomsError> {
        let draft = self.rooms.member_draft(room, user, user, content)?;
        let pdu = self.propose(&draft).await?;
        let mut event: CanonicalJsonObject = serde_json::from_str(pdu.json())
            .map_err(|error| RoomsError::BadContent(error.to_string()))?;
        // They are the other server's to make.
        event.remove("hashes");
        event.remove("signatures");
        Ok(event)
    }
}
