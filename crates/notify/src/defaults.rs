//! The push rules that everybody has (spec: client-server API, "Predefined Rules"), and those of
//! proposals that clients match events with themselves.

use ruma::{
    UserId,
    push::{
        Action, ConditionalPushRule, ConditionalPushRuleInit, EventMatchConditionData,
        PatternedPushRuleInit, PushCondition, RoomMemberCountConditionData, RoomMemberCountIs,
        Ruleset, Tweak,
    },
};

use crate::Notify;

/// The rule of MSC4028, under the name it has until it is accepted.
const ENCRYPTED_EVENT: &str = ".org.matrix.msc4028.encrypted_event";
/// Types of polls (MSC3381), under the names that clients send.
const POLL_START: &str = "org.matrix.msc3381.poll.start";
const POLL_END: &str = "org.matrix.msc3381.poll.end";
const POLL_RESPONSE: &str = "org.matrix.msc3381.poll.response";

impl Notify {
    /// The rules of a user who changed nothing.
    pub(crate) fn default_rules(&self, user: &UserId) -> Ruleset {
        let mut rules = Ruleset::server_default(user);
        let settings = self.settings();
        if !settings.thread_subscriptions {
            // Those about threads, the only ones of their kind, can never apply.
            rules.postcontent.clear();
        }
        add_polls(&mut rules);
        if settings.legacy_mentions {
            add_legacy_mentions(&mut rules, user);
        }
        if settings.encrypted_events {
            let (at, _) = rules.override_.insert_full(rule(
                ENCRYPTED_EVENT,
                vec![is_type("m.room.encrypted")],
                vec![Action::Notify],
            ));
            // Behind the one that switches everything off, before all others of the server.
            rules.override_.move_index(at, 1);
        }
        rules
    }
}

/// Polls begin and end with a notification, and answers are silent (MSC3930).
fn add_polls(rules: &mut Ruleset) {
    let two = || {
        let is = RoomMemberCountIs::from(ruma::uint!(2));
        PushCondition::RoomMemberCount(RoomMemberCountConditionData::new(is))
    };
    let sound = || vec![Action::Notify, Action::SetTweak(Tweak::Sound("default".into()))];
    rules.override_.insert(rule(
        ".org.matrix.msc3930.rule.poll_response",
        vec![is_type(POLL_RESPONSE)],
        vec![],
    ));
    for (name, kind) in [("poll_start", POLL_START), ("poll_end", POLL_END)] {
        let one_to_one = format!(".org.matrix.msc3930.rule.{name}_one_to_one");
        rules.underride.insert(rule(&one_to_one, vec![two(), is_type(kind)], sound()));
        let any = format!(".org.matrix.msc3930.rule.{name}");
        rules.underride.insert(rule(&any, vec![is_type(kind)], vec![Action::Notify]));
    }
}

/// Names in the text of messages that name nobody in `m.mentions`: rules that MSC4210 took away, for
/// sites with clients or bridges from before v1.7 of the specification.
#[expect(deprecated, reason = "the condition is what the setting is for")]
fn add_legacy_mentions(rules: &mut Ruleset, user: &UserId) {
    let loud = || {
        vec![
            Action::Notify,
            Action::SetTweak(Tweak::Sound("default".into())),
            Action::SetTweak(Tweak::Highlight(ruma::push::HighlightTweakValue::Yes)),
        ]
    };
    rules.override_.insert(rule(
        ".m.rule.contains_display_name",
        vec![PushCondition::ContainsDisplayName],
        loud(),
    ));
    rules.content.insert(
        PatternedPushRuleInit {
            rule_id: ".m.rule.contains_user_name".to_owned(),
            default: true,
            enabled: true,
            pattern: user.localpart().to_owned(),
            actions: loud(),
        }
        .into(),
    );
}

fn is_type(kind: &str) -> PushCondition {
    PushCondition::EventMatch(EventMatchConditionData::new("type".to_owned(), kind.to_owned()))
}

fn rule(id: &str, conditions: Vec<PushCondition>, actions: Vec<Action>) -> ConditionalPushRule {
    let (default, enabled) = (true, true);
    ConditionalPushRuleInit { rule_id: id.to_owned(), default, enabled, conditions, actions }.into()
}
