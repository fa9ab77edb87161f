//! What the rules say of one event.

use std::{num::NonZeroUsize, sync::Arc};

use blaupause_data::{Event, Part};
use blaupause_graph::EventNo;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{
    RoomId,
    events::AnySyncTimelineEvent,
    push::{Action, PushConditionRoomCtx, Ruleset},
    serde::Raw,
    user_id,
};

/// Events whose judgement for "somebody" is kept in memory.
const JUDGED_MAX: NonZeroUsize = NonZeroUsize::new(4_000).expect("not zero");

/// Whether an event counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub notify: bool,
    pub highlight: bool,
}

impl Judgement {
    fn from_actions(actions: &[Action]) -> Self {
        Self {
            notify: actions.iter().any(Action::should_notify),
            highlight: actions.iter().any(Action::is_highlight),
        }
    }
}

/// What the default rules say of an event to a user whom it does not name.
struct ForSomebody {
    judgement: Judgement,
    /// The whole event in lower case, to see whether it names a user.
    text: String,
}

/// What the judgement for "somebody" hangs on besides the event: whether the room has two members,
/// and whether they subscribed to the event's thread.
type Judged = (Part, EventNo, bool, bool);

/// Judgements for "somebody".
pub(crate) struct JudgedCache(Mutex<LruCache<Judged, Arc<ForSomebody>>>);

impl JudgedCache {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(JUDGED_MAX)))
    }

    /// Judge an event by the default rules. In a large room almost every message says the same to
    /// everybody, so it is judged once, and again only for those whom it names.
    pub(crate) async fn by_default_rules(
        &self,
        room: (Part, &RoomId),
        event: &Event,
        rules: &Ruleset,
        context: &PushConditionRoomCtx,
        is_subscribed: bool,
    ) -> Judgement {
        let key = (room.0, event.no, context.member_count == 2u32.into(), is_subscribed);
        let known = self.0.lock().get(&key).cloned();
        let somebody = match known {
            Some(known) => known,
            None => {
                let mut nobody = context.clone();
                // Somebody whom no event names.
                nobody.user_id = user_id!("@-:nobody.invalid").to_owned();
                nobody.user_display_name = "\u{1}".to_owned();
                let rules = Ruleset::server_default(&nobody.user_id);
                let judged = Arc::new(ForSomebody {
                    judgement: judge(room.1, event, &rules, &nobody).await,
                    text: event.stored.pdu.to_lowercase(),
                });
                self.0.lock().put(key, Arc::clone(&judged));
                judged
            }
        };
        if names(&somebody.text, context) {
            judge(room.1, event, rules, context).await
        } else {
            somebody.judgement
        }
    }
}

/// Whether an event's text contains what a rule could find of the user.
fn names(text: &str, context: &PushConditionRoomCtx) -> bool {
    let display_name = context.user_display_name.to_lowercase();
    // In JSON text these look different than in the name.
    let is_escaped =
        display_name.contains(['"', '\\']) || display_name.chars().any(char::is_control);
    is_escaped
        || text.contains(&display_name)
        || text.contains(&context.user_id.localpart().to_lowercase())
}

/// Judge an event by a user's own rules.
pub(crate) async fn judge(
    room: &RoomId,
    event: &Event,
    rules: &Ruleset,
    context: &PushConditionRoomCtx,
) -> Judgement {
    let json = event.client_json(Some(&room.to_owned()), None::<()>);
    let raw: Raw<AnySyncTimelineEvent> = Raw::from_json(json);
    Judgement::from_actions(rules.get_actions(&raw, context).await)
}
