//! Typing, receipts and presence on their way to a server: in memory, the newest wins. Pure.

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, presence::PresenceState};
use serde_json::{Map, Value, json};

/// Things that wait for one server; when there are more, further ones are not told.
const WAITING_MAX: usize = 2_000;
/// Presence updates of one EDU.
const PUSHES_MAX: usize = 50;

/// Something that is told and not kept: who is away does not miss it.
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
}

/// What waits for one server.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<About, PassingEdu>);

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn put(&mut self, edu: PassingEdu) {
        let about = edu.about();
        if self.0.len() < WAITING_MAX || self.0.contains_key(&about) {
            self.0.insert(about, edu);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// At most so many EDUs, as JSON; what is in them waits no longer.
    pub(super) fn take(&mut self, edus_max: usize) -> Vec<String> {
        let mut edus = Vec::new();
        // Of one user and room one receipt fits into an EDU; others go into the next.
        let mut receipts: Vec<Map<String, Value>> = Vec::new();
        let mut pushes: Vec<Vec<Value>> = Vec::new();
        while let Some((about, edu)) = self.0.pop_first() {
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
                self.0.insert(about, edu);
                break;
            }
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
        waiting.put(typing("@a:x", true));
        waiting.put(typing("@a:x", false));
        let edus = parsed(&waiting.take(100));
        assert!(matches!(&edus[..], [Edu::Typing(content)] if !content.typing));
        assert!(waiting.is_empty());
    }

    #[test]
    fn receipts_of_threads_go_into_edus_of_their_own() {
        let mut waiting = Waiting::default();
        waiting.put(receipt(None, 1));
        waiting.put(receipt(Some("main"), 2));
        waiting.put(receipt(Some("$root"), 3));
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
            waiting.put(typing(&format!("@u{n}:x"), true));
        }
        assert_eq!(waiting.take(3).len(), 3);
        assert_eq!(waiting.take(3).len(), 2);
        for n in 0..60 {
            waiting.put(PassingEdu::Presence(PresencePush {
                user: OwnedUserId::try_from(format!("@u{n}:x")).expect("an id"),
                state: PresenceState::Online,
                status_msg: None,
                last_active_ago: 0,
                currently_active: true,
            }));
        }
        assert_eq!(parsed(&waiting.take(1)).len(), 1);
        assert_eq!(parsed(&waiting.take(1)).len(), 1);
        assert!(waiting.is_empty());
    }
}
