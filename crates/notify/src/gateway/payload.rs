//! What a gateway is told.

use ruma::{
    events::StateEventType,
    push::{Action, HttpPusherData, PushFormat, Tweak},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Message;
use crate::{Notify, NotifyError};

/// MSC4076: the client counts for itself.
const DISABLE_BADGE: &str = "org.matrix.msc4076.disable_badge_count";

/// Whether a pusher does not want to be told how much is unread.
pub(super) fn disables_badge(gateway: &HttpPusherData) -> bool {
    gateway.data.get(DISABLE_BADGE) == Some(&Value::Bool(true))
}

impl Notify {
    /// The body of a request to a gateway.
    pub(super) async fn payload(&self, message: &Message<'_>) -> Result<Value, NotifyError> {
        let mut notification = Map::new();
        let mut set = |name: &str, value: Value| drop(notification.insert(name.to_owned(), value));
        let mut tweaks = Map::new();
        if let Some((noted, event)) = message.event {
            tweaks = tweaks_of(&noted.actions);
            set("event_id", json!(event.stored.event_id));
            set("room_id", json!(noted.room_id));
            // What makes a noise, or may be that once it is decrypted, is worth waking the phone.
            let is_loud = event.kind == "m.room.encrypted"
                || tweaks.contains_key("sound")
                || tweaks.get("highlight") == Some(&Value::Bool(true));
            set("prio", json!(if is_loud { "high" } else { "low" }));
            let is_bare = self.settings().push.strip_content
                || message.gateway.format == Some(PushFormat::EventIdOnly);
            if !is_bare {
                set("type", json!(event.kind));
                set("sender", json!(event.sender));
                set("content", content_of(event));
                if event.state_key.as_deref() == Some(message.pusher.user.as_str()) {
                    set("user_is_target", json!(true));
                }
                for (name, value) in self.names(message).await? {
                    set(name, json!(value));
                }
            }
        }
        if let Some(badge) = message.badge {
            // The specification would leave a 0 out; then no gateway would clear the badge.
            set("counts", json!({ "unread": badge }));
        }
        set("devices", json!([device(message, tweaks)]));
        Ok(json!({ "notification": notification }))
    }

    /// What the room and the sender are called.
    async fn names(
        &self,
        message: &Message<'_>,
    ) -> Result<Vec<(&'static str, String)>, NotifyError> {
        #[derive(Deserialize)]
        struct Content {
            name: Option<String>,
            alias: Option<String>,
            displayname: Option<String>,
        }
        let Some((noted, event)) = message.event else { return Ok(Vec::new()) };
        let keys = [
            (StateEventType::RoomName, String::new()),
            (StateEventType::RoomCanonicalAlias, String::new()),
            (StateEventType::RoomMember, event.sender.to_string()),
        ];
        let found = self.rooms().current_state(&noted.room_id, &keys).await?;
        let mut found = found.into_iter().map(|event| event?.content_as::<Content>());
        let (name, alias, sender) =
            (found.next().flatten(), found.next().flatten(), found.next().flatten());
        let texts = [
            ("room_name", name.and_then(|it| it.name)),
            ("room_alias", alias.and_then(|it| it.alias)),
            ("sender_display_name", sender.and_then(|it| it.displayname)),
        ];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text?)));
        Ok(texts.filter(|(_, text)| !text.is_empty()).collect())
    }
}

fn content_of(event: &blaupause_data::Event) -> Value {
    serde_json::from_str(event.content().get()).unwrap_or_default()
}

fn device(message: &Message<'_>, tweaks: Map<String, Value>) -> Value {
    let mut data = Map::new();
    if let Some(format) = &message.gateway.format {
        data.insert("format".to_owned(), json!(format));
    }
    data.extend(message.gateway.data.clone());
    let mut device = json!({
        "app_id": message.pusher.key.0,
        "pushkey": message.pusher.key.1,
        "pushkey_ts": message.pusher.stored.set_ms / 1_000,
        "data": data,
    });
    if message.event.is_some() {
        device["tweaks"] = Value::Object(tweaks);
    }
    device
}

fn tweaks_of(actions: &str) -> Map<String, Value> {
    let actions: Vec<Action> = serde_json::from_str(actions).unwrap_or_default();
    let mut tweaks = Map::new();
    for action in actions {
        let Action::SetTweak(tweak) = action else { continue };
        let value = match &tweak {
            Tweak::Highlight(_) => Some(json!(action_highlights(&tweak))),
            Tweak::Sound(sound) => Some(json!(sound)),
            other => other.value().and_then(|value| serde_json::from_str(value.get()).ok()),
        };
        if let Some(value) = value {
            tweaks.insert(tweak.set_tweak().to_owned(), value);
        }
    }
    tweaks
}

fn action_highlights(tweak: &Tweak) -> bool {
    Action::SetTweak(tweak.clone()).is_highlight()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tweaks_are_what_the_rule_sets() {
        let actions = r#"["notify",{"set_tweak":"sound","value":"ring"},{"set_tweak":"highlight"},
            {"set_tweak":"org.example.color","value":"red"}]"#;
        let expected = json!({ "sound": "ring", "highlight": true, "org.example.color": "red" });
        assert_eq!(Value::Object(tweaks_of(actions)), expected);
        assert!(tweaks_of(r#"["notify"]"#).is_empty());
        assert!(tweaks_of("").is_empty());
    }
}
