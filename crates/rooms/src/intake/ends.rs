//! Events that are given up, and those that are not: who was thrown out is told nothing more, and
//! who has left tells nothing more, so nothing else would bring what says so.

use std::{collections::HashMap, time::Duration};

use ruma::{
    RoomId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;
use tokio::sync::Notify;

use crate::{
    Rooms, RoomsError,
    remote_append::InboxKey,
    rows::{InboxRow, Waiting},
};

/// How long an event with which somebody is out waits for what it names.
const END_WAITS_MS: u64 = 24 * 60 * 60 * 1_000;
/// Pauses between its tries: the shortest, also if other events come, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: TimelineEventType,
    sender: String,
    state_key: Option<String>,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    membership: Option<MembershipState>,
}

impl Rooms {
    /// Give up events that lack something which cannot be had; not those with which
    /// somebody leaves or is thrown out of this server, for a day. Whether none of those is left.
    pub(super) async fn give_up_most(
        &self,
        room: &RoomId,
        keys: &[InboxKey],
    ) -> Result<bool, RoomsError> {
        let part = self.data().parts().room(room);
        let rows = self.data().get_many::<InboxRow>(keys.iter().map(|key| (part, key))).await?;
        let rows = keys.iter().zip(rows).filter_map(|(key, row)| Some((*key, row?.value)));
        let rows: HashMap<InboxKey, Waiting> = rows.collect();
        let now_ms = self.data().env().now_millis();
        let is_kept = |key: &InboxKey| {
            rows.get(key)
                .is_some_and(|row| now_ms < row.since_ms + END_WAITS_MS && self.is_end(&row.pdu))
        };
        let (kept, given_up): (Vec<InboxKey>, Vec<InboxKey>) =
            keys.iter().copied().partition(is_kept);
        if !given_up.is_empty() {
            let events = given_up.len();
            tracing::info!(%room, events, "events are given up: what they name cannot be had");
            self.give_up(room, &given_up).await?;
        }
        Ok(kept.is_empty())
    }

    /// Whether with an event somebody leaves, or somebody of this server is thrown out. Pure.
    fn is_end(&self, pdu: &str) -> bool {
        let Ok(event) = serde_json::from_str::<Event>(pdu) else { return false };
        let leaves = event.state_key.as_deref() == Some(event.sender.as_str());
        let user = event.state_key.and_then(|key| UserId::parse(key).ok());
        let ends =
            matches!(event.content.membership, Some(MembershipState::Leave | MembershipState::Ban));
        event.kind == TimelineEventType::RoomMember
            && ends
            && (leaves || user.is_some_and(|user| self.data().is_local(&user)))
    }
}

/// The pause before the next try, longer each time; shorter if other events come.
pub(super) async fn pause_between(tries: u32, news: &Notify) {
    let pause = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(tries)).min(PAUSE_MAX);
    tokio::time::sleep(PAUSE_MIN).await;
    tokio::select! {
        () = news.notified() => {}
        () = tokio::time::sleep(pause.saturating_sub(PAUSE_MIN)) => {}
    }
}
