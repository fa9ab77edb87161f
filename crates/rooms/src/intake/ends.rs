//! Events that are given up, and those that are not: who was thrown out is told nothing more, and
//! who has left tells nothing more, so nothing else would bring what says so.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use ruma::{
    RoomId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    Rooms, RoomsError,
    remote_append::InboxKey,
    rows::{InboxRow, Waiting},
};

/// How long an event with which somebody is out waits for what it names.
const END_WAITS_MS: u64 = 24 * 60 * 60 * 1_000;
/// Pauses between its tries: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(8);
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// The first pause if other events come: they may have brought what it names. It gets longer, too,
/// because whoever is asked may take all the time there is, and the room waits for that.
const PAUSE_AFTER_NEWS_MIN: Duration = Duration::from_secs(2);
/// Such events of one room: a server that makes them up must not fill the inbox.
const PARKED_MAX: usize = 20;

/// Events that wait for what they name, out of the way of the others.
#[derive(Default)]
pub(super) struct Parked {
    keys: HashSet<InboxKey>,
    /// How often they were parked.
    times: u32,
    until: Option<Instant>,
}

impl Parked {
    /// These, too, are tried again after a pause, which is longer each time.
    pub(super) fn park(&mut self, keys: Vec<InboxKey>) {
        if self.keys.is_empty() {
            self.until = Some(Instant::now() + self.doubled(PAUSE_MIN));
            self.times = if keys.is_empty() { 0 } else { self.times + 1 };
        }
        self.keys.extend(keys);
    }

    /// A pause that is twice as long each time.
    fn doubled(&self, pause: Duration) -> Duration {
        pause.saturating_mul(2_u32.saturating_pow(self.times)).min(PAUSE_MAX)
    }

    /// How many more may be parked.
    pub(super) fn space(&self) -> usize {
        PARKED_MAX.saturating_sub(self.keys.len())
    }

    pub(super) fn has(&self, key: &InboxKey) -> bool {
        self.keys.contains(key)
    }

    pub(super) fn try_soon(&mut self) {
        let soon = Instant::now() + self.doubled(PAUSE_AFTER_NEWS_MIN);
        self.until = self.until.map(|until| until.min(soon));
    }

    /// Waits until they may be tried, and lets them.
    pub(super) async fn time_is_up(&mut self) {
        if let Some(until) = self.until {
            tokio::time::sleep_until(until).await;
        }
        self.keys.clear();
    }
}

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
    /// Give up events that lack something which cannot be had; not those with which somebody leaves
    /// or is thrown out of this server, for a day, but only so many of them. Those that are left.
    pub(super) async fn give_up_most(
        &self,
        room: &RoomId,
        keys: &[InboxKey],
        kept_max: usize,
    ) -> Result<Vec<InboxKey>, RoomsError> {
        let part = self.data().parts().room(room);
        let rows = self.data().get_many::<InboxRow>(keys.iter().map(|key| (part, key))).await?;
        let rows = keys.iter().zip(rows).filter_map(|(key, row)| Some((*key, row?.value)));
        let rows: HashMap<InboxKey, Waiting> = rows.collect();
        let now_ms = self.data().env().now_millis();
        let is_kept = |key: &InboxKey| {
            rows.get(key)
                .is_some_and(|row| now_ms < row.since_ms + END_WAITS_MS && self.is_end(&row.pdu))
        };
        let (mut kept, mut given_up): (Vec<InboxKey>, Vec<InboxKey>) =
            keys.iter().copied().partition(is_kept);
        given_up.extend(kept.split_off(kept.len().min(kept_max)));
        if !given_up.is_empty() {
            let events = given_up.len();
            tracing::info!(%room, events, "events are given up: what they name cannot be had");
            self.give_up(room, &given_up).await?;
        }
        Ok(kept)
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
