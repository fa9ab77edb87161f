//! Account data, receipts and typing, as both kinds of sync tell them.

use std::collections::HashSet;

use blaupause_accounts::{AccountDatum, Scope};
use blaupause_data::StreamPos;
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{
        AnyGlobalAccountDataEvent, AnyRoomAccountDataEvent, receipt::SyncReceiptEvent,
        typing::SyncTypingEvent,
    },
    serde::Raw,
};
use serde::Serialize;
use serde_json::{json, value::to_raw_value};

use crate::{
    Sync, SyncError,
    span::{News, Span},
};

/// An event without anything but type and content.
#[derive(Serialize)]
struct Plain<'a, C> {
    content: C,
    r#type: &'a str,
}

fn plain<T>(kind: &str, content: impl Serialize) -> Raw<T> {
    let event = Plain { content, r#type: kind };
    Raw::from_json(to_raw_value(&event).expect("plain data is JSON"))
}

/// The type of an event.
pub(crate) fn kind_of<T>(event: &Raw<T>) -> String {
    event.get_field("type").ok().flatten().unwrap_or_default()
}

impl Sync {
    /// Global account data that is new to the client. A client that starts is told the push rules
    /// even if it never changed them.
    pub(crate) async fn account_data_news(
        &self,
        user: &UserId,
        span: &Span,
        news: &News,
    ) -> Result<Vec<Raw<AnyGlobalAccountDataEvent>>, SyncError> {
        if !news.global_account_data() {
            return Ok(Vec::new());
        }
        let stored = self.accounts().account_data_since(user, Scope::Global, span.since).await?;
        let has_rules = stored.iter().any(|data| data.kind == "m.push_rules");
        let within = stored.iter().filter(|data| data.pos <= span.until);
        let mut events: Vec<_> = within.map(AccountDatum::global_event).collect();
        if span.since.is_none() && !has_rules {
            let global = self.notify().ruleset(user).await?;
            events.push(plain("m.push_rules", json!({ "global": global })));
        }
        Ok(events)
    }

    /// Account data of a room that is new to the client. One round trip: see
    /// [`News::account_data_of`] first.
    pub(crate) async fn room_account_data(
        &self,
        user: &UserId,
        room: &RoomId,
        since: Option<StreamPos>,
        until: StreamPos,
    ) -> Result<Vec<Raw<AnyRoomAccountDataEvent>>, SyncError> {
        let stored = self.accounts().account_data_since(user, Scope::Room(room), since).await?;
        let within = stored.iter().filter(|data| data.pos <= until);
        Ok(within.map(AccountDatum::room_event).collect())
    }

    /// Receipts of a room that are new to the client, as one event. One round trip: see
    /// [`News::receipts_in`] first.
    pub(crate) async fn receipt_event(
        &self,
        user: &UserId,
        room: &RoomId,
        since: Option<StreamPos>,
        until: StreamPos,
    ) -> Result<Option<Raw<SyncReceiptEvent>>, SyncError> {
        let since = since.unwrap_or_default();
        let content = self.rooms().receipts_since(user, room, since, until).await?;
        Ok(content.map(|content| plain("m.receipt", content)))
    }

    /// Who types in a room now.
    pub(crate) fn typing_event(
        &self,
        ignored: &HashSet<OwnedUserId>,
        room: &OwnedRoomId,
    ) -> Raw<SyncTypingEvent> {
        let mut typing = self.rooms().typing(room);
        typing.retain(|typing| !ignored.contains(typing));
        plain("m.typing", json!({ "user_ids": typing }))
    }
}
