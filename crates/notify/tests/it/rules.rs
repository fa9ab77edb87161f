//! What each rule does, seen in the counts of somebody who only reads.

use blaupause_notify::{NotifyError, RulePlace};
use ruma::push::{
    Action, NewConditionalPushRule, NewPatternedPushRule, NewPushRule, NewSimplePushRule, RuleKind,
    Tweak,
};
use serde_json::json;

use crate::world::{World, count};

const NOTHING: blaupause_notify::Count = count(0, 0);
const NOTIFIES: blaupause_notify::Count = count(1, 0);
const HIGHLIGHTS: blaupause_notify::Count = count(1, 1);

#[tokio::test]
async fn messages_and_calls_notify() {
    for world in [World::new().await, World::of_two().await] {
        assert_eq!(world.adds(world.say(&world.alice, "hi")).await, NOTIFIES, "message");
        let encrypted = json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x" });
        let sent = world.send(&world.alice, "m.room.encrypted", encrypted);
        assert_eq!(world.adds(sent).await, NOTIFIES, "encrypted");
        let call = json!({ "call_id": "1", "version": "1", "lifetime": 1 });
        let sent = world.send(&world.alice, "m.call.invite", call);
        assert_eq!(world.adds(sent).await, NOTIFIES, "m.call.invite");
    }
}

#[tokio::test]
async fn what_nobody_has_to_see_is_silent() {
    let world = World::new().await;
    let notice = json!({ "msgtype": "m.notice", "body": "x" });
    let sent = world.send(&world.alice, "m.room.message", notice);
    assert_eq!(world.adds(sent).await, NOTHING, "notice");
    let event = world.say(&world.bob, "hi").await;
    let annotates = json!({ "rel_type": "m.annotation", "event_id": event, "key": "+" });
    let reaction = json!({ "m.relates_to": annotates });
    let sent = world.send(&world.alice, "m.reaction", reaction);
    assert_eq!(world.adds(sent).await, NOTHING, "reaction");
    let acl = json!({ "allow": ["*"] });
    let set = world.server.set(&world.alice, &world.room, "m.room.server_acl", "", acl);
    assert_eq!(world.adds(set).await, NOTHING, "server ACL");
    let topic = json!({ "topic": "x" });
    let set = world.server.set(&world.alice, &world.room, "m.room.topic", "", topic);
    assert_eq!(world.adds(set).await, NOTHING, "topic");
    let joins = world.server.leave(&world.carol, &world.room);
    assert_eq!(world.adds(joins).await, NOTHING, "member");
    let sent = world.send(&world.alice, "org.example.custom", json!({ "body": "x" }));
    assert_eq!(world.adds(sent).await, NOTHING, "a type that no rule knows");
}

#[tokio::test]
async fn an_edit_is_silent_unless_it_mentions() {
    let world = World::new().await;
    let event = world.say(&world.alice, "hi").await;
    let edit = |mentions: serde_json::Value| {
        json!({
            "msgtype": "m.text",
            "body": "* hi",
            "m.new_content": { "msgtype": "m.text", "body": "hi" },
            "m.relates_to": { "rel_type": "m.replace", "event_id": event },
            "m.mentions": mentions,
        })
    };
    let sent = world.send(&world.alice, "m.room.message", edit(json!({})));
    assert_eq!(world.adds(sent).await, NOTHING);
    let mentions = edit(json!({ "user_ids": [world.bob] }));
    let sent = world.send(&world.alice, "m.room.message", mentions);
    assert_eq!(world.adds(sent).await, HIGHLIGHTS);
}

#[tokio::test]
async fn a_mention_highlights_for_whom_it_names() {
    let world = World::new().await;
    let message = |mentions: serde_json::Value| json!({ "msgtype": "m.text", "body": "x", "m.mentions": mentions });
    let send = |mentions| world.send(&world.alice, "m.room.message", message(mentions));
    assert_eq!(world.adds(send(json!({ "user_ids": [world.bob] }))).await, HIGHLIGHTS);
    assert_eq!(world.adds(send(json!({ "user_ids": [world.carol] }))).await, NOTIFIES);
    assert_eq!(world.adds(send(json!({ "user_ids": [] }))).await, NOTIFIES);
    // What is no list of ids mentions nobody.
    assert_eq!(world.adds(send(json!({ "user_ids": world.bob }))).await, NOTIFIES);
    assert_eq!(world.adds(send(json!("everybody"))).await, NOTIFIES);
    // A name in the text is no mention.
    assert_eq!(world.adds(world.say(&world.alice, "bob: hi")).await, NOTIFIES);
}

#[tokio::test]
async fn a_notice_that_mentions_still_is_a_notice() {
    let world = World::new().await;
    let mentions = json!({ "user_ids": [world.bob] });
    let notice = json!({ "msgtype": "m.notice", "body": "x", "m.mentions": mentions });
    let sent = world.send(&world.alice, "m.room.message", notice);
    assert_eq!(world.adds(sent).await, NOTHING);
}

#[tokio::test]
async fn mentioning_the_room_takes_the_power_to() {
    let world = World::new().await;
    let mentions = json!({ "msgtype": "m.text", "body": "x", "m.mentions": { "room": true } });
    let by_creator = world.send(&world.alice, "m.room.message", mentions.clone());
    assert_eq!(world.adds(by_creator).await, HIGHLIGHTS);
    let by_member = world.send(&world.carol, "m.room.message", mentions);
    assert_eq!(world.adds(by_member).await, NOTIFIES);
}

#[tokio::test]
async fn the_end_of_a_room_highlights() {
    let world = World::new().await;
    let content = json!({ "body": "moved", "replacement_room": "!x:example.org" });
    let set = world.server.set(&world.alice, &world.room, "m.room.tombstone", "", content);
    assert_eq!(world.adds(set).await, HIGHLIGHTS);
}

#[tokio::test]
async fn the_master_switch_silences_everything() {
    let world = World::new().await;
    let master = (RuleKind::Override, ".m.rule.master");
    let set = world.notify.enable_rule(&world.bob, master.0.clone(), master.1, true);
    set.await.expect("exists");
    let mentions = json!({ "user_ids": [world.bob] });
    let message = json!({ "msgtype": "m.text", "body": "x", "m.mentions": mentions });
    let sent = world.send(&world.alice, "m.room.message", message);
    assert_eq!(world.adds(sent).await, NOTHING);
    world.notify.enable_rule(&world.bob, master.0, master.1, false).await.expect("exists");
    assert_eq!(world.adds(world.say(&world.alice, "hi")).await, NOTIFIES);
}

#[tokio::test]
async fn own_rules_go_before_the_defaults() {
    let world = World::new().await;
    let put = async |rule| {
        world.notify.put_rule(&world.bob, rule, &RulePlace::default()).await.expect("is possible");
    };
    // A keyword.
    let actions = vec![Action::Notify, Action::SetTweak(Tweak::Highlight(Default::default()))];
    let keyword = NewPatternedPushRule::new("tea".to_owned(), "tea".to_owned(), actions);
    put(NewPushRule::Content(keyword)).await;
    assert_eq!(world.adds(world.say(&world.alice, "TEA at five?")).await, HIGHLIGHTS);
    assert_eq!(world.adds(world.say(&world.alice, "team at five?")).await, NOTIFIES);
    // A person to be ignored, and a room.
    put(NewPushRule::Sender(NewSimplePushRule::new(world.carol.clone(), vec![]))).await;
    assert_eq!(world.adds(world.say(&world.carol, "hi")).await, NOTHING);
    assert_eq!(world.adds(world.say(&world.alice, "hi")).await, NOTIFIES);
    put(NewPushRule::Room(NewSimplePushRule::new(world.room.clone(), vec![]))).await;
    assert_eq!(world.adds(world.say(&world.alice, "hi")).await, NOTHING);
    // The keyword stands before the room.
    assert_eq!(world.adds(world.say(&world.alice, "tea")).await, HIGHLIGHTS);
    let delete = world.notify.delete_rule(&world.bob, RuleKind::Room, world.room.as_str());
    delete.await.expect("exists");
    assert_eq!(world.adds(world.say(&world.alice, "hi")).await, NOTIFIES);
}

#[tokio::test]
async fn actions_of_default_rules_can_be_changed() {
    let world = World::new().await;
    let (kind, id) = (RuleKind::Underride, ".m.rule.message");
    let set = world.notify.set_rule_actions(&world.bob, kind.clone(), id, vec![]);
    set.await.expect("exists");
    assert_eq!(world.adds(world.say(&world.alice, "hi")).await, NOTHING);
    let delete = world.notify.delete_rule(&world.bob, kind, id).await;
    assert!(matches!(delete, Err(NotifyError::RuleKept(_))));
}

#[tokio::test]
async fn every_default_rule_is_there() {
    let world = World::new().await;
    let rules = world.notify.ruleset(&world.bob).await.expect("reads");
    let ids: Vec<_> = rules.iter().map(|rule| rule.rule_id().to_owned()).collect();
    for id in [
        ".m.rule.master",
        ".m.rule.suppress_notices",
        ".m.rule.invite_for_me",
        ".m.rule.member_event",
        ".m.rule.is_user_mention",
        ".m.rule.is_room_mention",
        ".m.rule.tombstone",
        ".m.rule.reaction",
        ".m.rule.room.server_acl",
        ".m.rule.suppress_edits",
        ".m.rule.call",
        ".m.rule.encrypted_room_one_to_one",
        ".m.rule.room_one_to_one",
        ".m.rule.message",
        ".m.rule.encrypted",
    ] {
        assert!(ids.iter().any(|known| known == id), "{id} is not among {ids:?}");
    }
}

#[tokio::test]
async fn rules_that_cannot_be_are_refused() {
    let world = World::new().await;
    let rule = |id: &str| NewPushRule::Override(conditional(id));
    let nowhere = RulePlace { before: Some("no such rule".to_owned()), after: None };
    let put = world.notify.put_rule(&world.bob, rule("a"), &nowhere).await;
    assert!(matches!(put, Err(NotifyError::RuleRefused(_))));
    let put = async |rule| world.notify.put_rule(&world.bob, rule, &RulePlace::default()).await;
    assert!(matches!(put(rule(".m.own")).await, Err(NotifyError::RuleRefused(_))));
    assert!(matches!(put(rule(&"x".repeat(301))).await, Err(NotifyError::TooLarge(_))));
    let pattern = NewPatternedPushRule::new("p".to_owned(), "x".repeat(2_000), vec![]);
    assert!(matches!(put(NewPushRule::Content(pattern)).await, Err(NotifyError::TooLarge(_))));
    let unknown = world.notify.enable_rule(&world.bob, RuleKind::Override, "unknown", true).await;
    assert!(matches!(unknown, Err(NotifyError::RuleUnknown)));
}

fn conditional(id: &str) -> NewConditionalPushRule {
    NewConditionalPushRule::new(id.to_owned(), vec![], vec![])
}
