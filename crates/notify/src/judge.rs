//! What the rules say of one event.

use std::{num::NonZeroUsize, sync::Arc};

use blaupause_accounts::{InviteAnswer, Unwanted};
use blaupause_data::{Event, Part};
use blaupause_graph::{EventNo, StateRoot};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::AnySyncTimelineEvent,
    push::{Action, PushConditionRoomCtx, Ruleset},
    serde::Raw,
    user_id,
};

use crate::{Notify, NotifyError, context::RuleContext, counts::thread_of, rules::UserRules};

/// Events whose judgement for "somebody" is kept in memory.
const JUDGED_MAX: NonZeroUsize = NonZeroUsize::new(4_000).expect("not zero");

/// Whether an event counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub notify: bool,
    pub highlight: bool,
    /// What the rule says to do, as JSON; empty if nothing.
    pub actions: Arc<str>,
}

impl Judgement {
    fn from_actions(actions: &[Action]) -> Self {
        let notify = actions.iter().any(Action::should_notify);
        let json = if notify { serde_json::to_string(actions) } else { Ok(String::new()) };
        Self {
            notify,
            highlight: actions.iter().any(Action::is_highlight),
            actions: json.unwrap_or_default().into(),
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
        notify: &Notify,
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
                let rules = notify.default_rules(&nobody.user_id);
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
            somebody.judgement.clone()
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
async fn judge(
    room: &RoomId,
    event: &Event,
    rules: &Ruleset,
    context: &PushConditionRoomCtx,
) -> Judgement {
    let json = event.client_json(Some(&room.to_owned()), None::<()>);
    let raw: Raw<AnySyncTimelineEvent> = Raw::from_json(json);
    Judgement::from_actions(rules.get_actions(&raw, context).await)
}

/// Who judges events of a room for one person.
pub(crate) struct Judge<'a> {
    notify: &'a Notify,
    user: OwnedUserId,
    room: OwnedRoomId,
    unwanted: Arc<Unwanted>,
    context: Arc<RuleContext>,
    rules: Arc<UserRules>,
}

impl Notify {
    /// The judge for a person in a room as it was in a state; `None` if the room is gone.
    pub(crate) async fn judge_in(
        &self,
        user: &UserId,
        room: &RoomId,
        state: StateRoot,
    ) -> Result<Option<Judge<'_>>, NotifyError> {
        let unwanted = self.accounts().unwanted(user).await?;
        let Some(context) = self.rule_context(user, room, state).await? else { return Ok(None) };
        let rules = self.rules(user).await?;
        let (user, room) = (user.to_owned(), room.to_owned());
        Ok(Some(Judge { notify: self, user, room, unwanted, context, rules }))
    }
}

impl Judge<'_> {
    /// What the person's rules say of an event. Nobody is notified of their own doing, and of what
    /// they do not want to see (spec: "Ignoring Users"; MSC4155).
    pub(crate) async fn judge(&self, event: &Event) -> Judgement {
        let is_hidden = event.kind == "m.room.member"
            && event.state_key.as_deref() == Some(self.user.as_str())
            && self.unwanted.invites.answer(&event.sender) != InviteAnswer::Take;
        if event.sender == self.user
            || is_hidden
            || self.unwanted.ignored.contains(&event.sender)
            || event.stored.redacted_by.is_some()
        {
            return Judgement::default();
        }
        let (rules, context) = (&self.rules.ruleset, &self.context.room);
        if !self.rules.is_default {
            return judge(&self.room, event, rules, context).await;
        }
        let root = thread_of(event);
        let is_subscribed = root.is_some_and(|root| self.context.threads.contains(&root));
        let at = (self.notify.data().parts().room(&self.room), &*self.room);
        let (notify, judged) = (&self.notify, &self.notify.0.judged);
        judged.by_default_rules(notify, at, event, rules, context, is_subscribed).await
    }
}
