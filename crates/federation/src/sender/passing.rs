//! Typing, receipts and presence on their way to a server: in memory, the newest wins. Pure.

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, presence::PresenceState};
use serde_json::{Map, Value, json};

/// Things that wait for one server; when there are more, further ones are not told.
const WAITING_MAX: usize = 2_000;
/// What waits for a server that is away for longer is not told: a restart shall cost nothing, an
/// outage shall not fill the memory.
const OUTAGE_MAX_MS: u64 = 5 * 60 * 1_000;
/// Presence updates of one EDU.
const PUSHES_MAX: usize = 50;

/// Something that is told and not stored: who is away for long does not miss it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassingEdu {
    /// Somebody types, or stopped.
    Typing { room: OwnedRoomId, user: OwnedUserId, typing: bool },
    /// How far somebody has read, for others to see.
    Receipt {
        room: OwnedRoomId,
        user: OwnedUserId,
        event: OwnedEventId,
        /// `main`, or the root of a thread.
        thread: Option<String>,
        /// Milliseconds since the Unix epoch.
        ts: u64,
    },
    /// Whether somebody is there.
    Presence(PresencePush),
}

/// Presence of a user, as others are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresencePush {
    pub user: OwnedUserId,
    pub state: PresenceState,
    pub status_msg: Option<String>,
    /// Milliseconds since the user did something.
    pub last_active_ago: u64,
    pub currently_active: bool,
}

/// What a newer one replaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    Typing(OwnedRoomId, OwnedUserId),
    Receipt(OwnedRoomId, OwnedUserId, Option<String>),
    Presence(OwnedUserId),
}

impl PassingEdu {
    fn about(&self) -> About {
        match self {
            Self::Typing { room, user, .. } => About::Typing(room.clone(), user.clone()),
            Self::Receipt { room, user, thread, .. } => {
                About::Receipt(room.clone(), user.clone(), thread.clone())
            }
            Self::Presence(push) => About::Presence(push.user.clone()),
        }
    }

    /// Whether it is still worth telling to a server that is away for a moment.
    fn outlasts_a_moment(&self) -> bool {
        !matches!(self, Self::Typing { .. })
    }
}

/// What waits for one server.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    next: BTreeMap<About, PassingEdu>,
    /// In the transaction that is on its way.
    taken: Vec<PassingEdu>,
    /// The server is away, since when, in milliseconds since the Unix epoch.
    failing_since_ms: Option<u64>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// The server has been away for so long that nothing is kept for it in memory.
    pub(super) fn is_long_away(&self, now_ms: u64) -> bool {
        self.failing_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= OUTAGE_MAX_MS)
    }

    pub(super) fn put(&mut self, edu: PassingEdu, now_ms: u64) {
        let about = edu.about();
        let is_away = self.failing_since_ms.is_some();
        if is_away && !edu.outlasts_a_moment() || self.is_long_away(now_ms) {
            return;
        }
        if self.next.len() < WAITING_MAX || self.next.contains_key(&about) {
            self.next.insert(about, edu);
        }
    }

    pub(super) fn clear(&mut self) {
        self.next.clear();
        self.taken.clear();
    }

    /// The server takes what it is sent.
    pub(super) fn arrived(&mut self) {
        self.taken.clear();
        self.failing_since_ms = None;
    }

    /// The server is away.
    pub(super) fn failing(&mut self, since_ms: u64, now_ms: u64) {
        self.failing_since_ms = Some(since_ms);
        self.put_back();
        let is_long_away = self.is_long_away(now_ms);
        self.next.retain(|_, edu| edu.outlasts_a_moment() && !is_long_away);
    }

    /// What did not arrive is told again, unless there is something newer.
    fn put_back(&mut self) {
        for edu in std::mem::take(&mut self.taken) {
            self.next.entry(edu.about()).or_insert(edu);
        }
    }

    /// At most so many EDUs, as JSON, to be sent now.
    pub(super) fn take(&mut self, edus_max: usize) -> Vec<String> {
        self.put_back();
        let mut edus = Vec::new();
        // Of one user and room one receipt fits into an EDU; others go into the next.
        let mut receipts: Vec<Map<String, Value>> = Vec::new();
        let mut pushes: Vec<Vec<Value>> = Vec::new();
        while let Some((about, edu)) = self.next.pop_first() {
            let full = edus.len() + receipts.len() + pushes.len() >= edus_max;
            let fits = match &edu {
                PassingEdu::Typing { room, user, typing } if !full => {
                    let content = json!({ "room_id": room, "user_id": user, "typing": typing });
                    edus.push(as_edu("m.typing", &content));
                    true
                }
                PassingEdu::Typing { .. } => false,
                PassingEdu::Receipt { .. } => put_receipt(&mut receipts, &edu, !full),
                PassingEdu::Presence(push) => put_push(&mut pushes, push, !full),
            };
            if !fits {
                self.next.insert(about, edu);
                break;
            }
            self.taken.push(edu);
        }
        edus.extend(receipts.iter().map(|content| as_edu("m.receipt", content)));
        edus.extend(pushes.iter().map(|push| as_edu("m.presence", &json!({ "push": push }))));
        edus
    }
}

fn put_receipt(receipts: &mut Vec<Map<String, Value>>, edu: &PassingEdu, may_grow: bool) -> bool {
    let PassingEdu::Receipt { room, user, event, thread, ts } = edu else { return true };
    let has = |content: &Map<String, Value>| {
        content.get(room.as_str()).is_some_and(|it| it["m.read"].get(user.as_str()).is_some())
    };
    let at = match receipts.iter().position(|content| !has(content)) {
        Some(at) => at,
        None if may_grow => {
            receipts.push(Map::new());
            receipts.len() - 1
        }
        None => return false,
    };
    let mut data = json!({ "ts": ts });
    if let Some(thread) = thread {
        data["thread_id"] = json!(thread);
    }
    let in_room = receipts[at].entry(room.as_str()).or_insert_with(|| json!({ "m.read": {} }));
    in_room["m.read"][user.as_str()] = json!({ "data": data, "event_ids": [event] });
    true
}

fn put_push(pushes: &mut Vec<Vec<Value>>, push: &PresencePush, may_grow: bool) -> bool {
    if pushes.last().is_none_or(|last| last.len() >= PUSHES_MAX) {
        if !may_grow {
            return false;
        }
        pushes.push(Vec::new());
    }
    let mut json = json!({
        "user_id": push.user,
        "presence": push.state,
        "last_active_ago": push.last_active_ago,
        "currently_active": push.currently_active,
    });
    if let Some(text) = &push.status_msg {
        json["status_msg"] = json!(text);
    }
    pushes.last_mut().expect("one was put there").push(json);
    true
}

/// An EDU as JSON text.
pub(super) fn as_edu(kind: &str, content: &impl serde::Serialize) -> String {
    json!({ "edu_type": kind, "content": content }).to_string()
}

#[cfg(test)]
mod tests {
    use ruma::{
        api::federation::transactions::edu::Edu, owned_event_id, owned_room_id, owned_user_id,
    };

    use super::*;

    fn receipt(thread: Option<&str>, ts: u64) -> PassingEdu {
        PassingEdu::Receipt {
            room: owned_room_id!("!a:x"),
            user: owned_user_id!("@a:x"),
            event: owned_event_id!("$e:x"),
            thread: thread.map(ToOwned::to_owned),
            ts,
        }
    }

    fn typing(user: &str, typing: bool) -> PassingEdu {
        let user = OwnedUserId::try_from(user).expect("an id");
        PassingEdu::Typing { room: owned_room_id!("!a:x"), user, typing }
    }

    fn parsed(edus: &[String]) -> Vec<Edu> {
        edus.iter().map(|edu| serde_json::from_str(edu).expect("an EDU")).collect()
    }

    #[test]
    fn the_newest_wins() {
        let mut waiting = Waiting::default();
        waiting.put(typing("@a:x", true), 0);
        waiting.put(typing("@a:x", false), 0);
        let edus = parsed(&waiting.take(100));
        assert!(matches!(&edus[..], [Edu::Typing(content)] if !content.typing));
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_short_outage_costs_no_receipt_and_a_long_one_no_memory() {
        let mut waiting = Waiting::default();
        waiting.put(receipt(None, 1), 0);
        waiting.put(typing("@a:x", true), 0);
        assert_eq!(waiting.take(100).len(), 2);
        waiting.failing(0, 0);
        waiting.put(typing("@b:x", true), 1);
        waiting.put(receipt(Some("$root"), 2), 1);
        let edus = parsed(&waiting.take(100));
        assert!(matches!(&edus[..], [Edu::Receipt(_), Edu::Receipt(_)]), "{edus:?}");
        waiting.failing(0, OUTAGE_MAX_MS);
        assert!(waiting.is_empty());
        waiting.put(receipt(None, 3), OUTAGE_MAX_MS);
        assert!(waiting.is_empty());
        waiting.arrived();
        waiting.put(receipt(None, 3), OUTAGE_MAX_MS);
        assert_eq!(waiting.take(100).len(), 1);
    }

    #[test]
    fn receipts_of_threads_go_into_edus_of_their_own() {
        let mut waiting = Waiting::default();
        waiting.put(receipt(None, 1), 0);
        waiting.put(receipt(Some("main"), 2), 0);
        waiting.put(receipt(Some("$root"), 3), 0);
        let edus = parsed(&waiting.take(100));
        let threads: Vec<_> = edus
            .iter()
            .map(|edu| {
                let Edu::Receipt(content) = edu else { panic!("no receipt") };
                let data = &content.receipts.values().next().expect("a room").read;
                data.values().next().expect("a user").data.thread.clone()
            })
            .collect();
        assert_eq!(threads.len(), 3);
    }

    #[test]
    fn what_does_not_fit_waits_for_the_next_transaction() {
        let mut waiting = Waiting::default();
        for n in 0..5 {
            waiting.put(typing(&format!("@u{n}:x"), true), 0);
        }
        for sent in [3, 2] {
            assert_eq!(waiting.take(3).len(), sent);
            waiting.arrived();
        }
        for n in 0..60 {
            let push = PassingEdu::Presence(PresencePush {
                user: OwnedUserId::try_from(format!("@u{n}:x")).expect("an id"),
                state: PresenceState::Online,
                status_msg: None,
                last_active_ago: 0,
                currently_active: true,
            });
            waiting.put(push, 0);
        }
        for _ in 0..2 {
            assert_eq!(parsed(&waiting.take(1)).len(), 1);
            waiting.arrived();
        }
        assert!(waiting.is_empty());
    }
}
