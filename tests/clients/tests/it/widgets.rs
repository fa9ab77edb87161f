//! What Element Call does as a widget inside Element X, driven by the library's widget driver.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use blaupause_clients::{PATIENCE, Person, SERVER_NAME, scenario, until};
use matrix_sdk::{
    Room,
    deserialized_responses::RawAnySyncOrStrippedState,
    ruma::RoomId,
    widget::{
        Capabilities, CapabilitiesProvider, WidgetDriver, WidgetDriverHandle, WidgetSettings,
    },
};
use serde_json::{Value, json};
use tokio::{task::AbortHandle, time};

use crate::rooms::talk;

const ID: &str = "call";
/// Who is in a call, as Element Call writes it today.
const MEMBER: &str = "org.matrix.msc3401.call.member";
/// When the server shall take somebody out of the call who is not heard of any more.
const LEAVE_AFTER: Duration = Duration::from_secs(4);

/// The user grants whatever is asked.
struct Granted;

impl CapabilitiesProvider for Granted {
    async fn acquire_capabilities(&self, asked: Capabilities) -> Capabilities {
        asked
    }
}

/// The page in the web view.
struct Widget {
    driver: WidgetDriverHandle,
    running: AbortHandle,
    wishes: Vec<String>,
}

impl Widget {
    /// Load it, and let it have what it wants.
    async fn open(room: &Room, wishes: Vec<String>) -> Result<Self> {
        let settings = WidgetSettings::new(ID.to_owned(), true, "https://call.blaupause.test")?;
        let (driver, handle) = WidgetDriver::new(settings);
        let running = tokio::spawn(driver.run(room.clone(), Granted)).abort_handle();
        let widget = Self { driver: handle, running, wishes };
        widget.ask("content_loaded", json!({})).await?;
        let granted = widget.hear("notify_capabilities").await?;
        let approved = granted["approved"].as_array().context("what is approved")?;
        ensure!(approved.len() == widget.wishes.len(), "not all is granted: {granted}");
        Ok(widget)
    }

    /// Ask the app for something; gives its response.
    async fn ask(&self, action: &str, data: Value) -> Result<Value> {
        let asked = json!({
            "api": "fromWidget", "widgetId": ID, "requestId": action, "action": action, "data": data,
        });
        ensure!(self.driver.send(asked.to_string()).await, "the driver has ended");
        loop {
            let message = self.next().await?;
            if message["api"] == "fromWidget" && message["requestId"] == action {
                let response = message["response"].clone();
                ensure!(response.get("error").is_none(), "{action}: {response}");
                return Ok(response);
            }
        }
    }

    /// Wait until the app says something of that kind; gives its data.
    async fn hear(&self, action: &str) -> Result<Value> {
        loop {
            let message = self.next().await?;
            if message["api"] == "toWidget" && message["action"] == action {
                return Ok(message["data"].clone());
            }
        }
    }

    /// The next message, answered if it is a question.
    async fn next(&self) -> Result<Value> {
        let message = time::timeout(PATIENCE, self.driver.recv()).await.context("no message")?;
        let mut message: Value = serde_json::from_str(&message.context("the driver has ended")?)?;
        if message["api"] == "toWidget" {
            let asks_wishes = message["action"] == "capabilities";
            message["response"] =
                if asks_wishes { json!({ "capabilities": self.wishes }) } else { json!({}) };
            self.driver.send(message.to_string()).await;
        }
        Ok(message)
    }
}

impl Drop for Widget {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// The state key of a device in a call.
fn key_of(person: &Person) -> Result<String> {
    let device = person.client.device_id().context("a device")?;
    Ok(format!("_{}_{device}_m.call", person.id()))
}

/// Who is in the call: what this person's device knows of somebody's membership.
async fn membership(person: &Person, room: &RoomId, key: &str) -> Option<Value> {
    let room = person.client.get_room(room)?;
    let RawAnySyncOrStrippedState::Sync(event) =
        room.get_state_event(MEMBER.into(), key).await.ok()??
    else {
        return None;
    };
    event.get_field("content").ok()?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_vanishes_from_a_call_leaves_it_though_the_server_was_killed() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, _there) = talk(&alice, &bob, true).await?;
        let (room, key) = (here.room.room_id(), key_of(&alice)?);
        let wishes = vec![
            format!("org.matrix.msc2762.send.state_event:{MEMBER}#{key}"),
            format!("org.matrix.msc2762.receive.state_event:{MEMBER}"),
            "org.matrix.msc4157.send.delayed_event".to_owned(),
            "org.matrix.msc4157.update_delayed_event".to_owned(),
        ];
        let call = Widget::open(&here.room, wishes).await?;
        let leave = json!({
            "type": MEMBER, "state_key": key, "content": {}, "delay": LEAVE_AFTER.as_millis() as u64,
        });
        let planned = call.ask("send_event", leave).await?;
        let delay = planned["delay_id"].as_str().context("a delay")?.to_owned();
        let content = json!({
            "application": "m.call", "call_id": "", "scope": "m.room",
            "device_id": alice.client.device_id(), "expires": 14_400_000,
            "focus_active": { "type": "livekit", "focus_selection": "oldest_membership" },
            "foci_preferred": [],
        });
        let join = json!({ "type": MEMBER, "state_key": key, "content": content });
        ensure!(call.ask("send_event", join).await?["event_id"].is_string());
        // What it does every few seconds while the call goes on.
        let again = json!({ "delay_id": delay, "action": "restart" });
        call.ask("org.matrix.msc4157.update_delayed_event", again).await?;
        until("bob sees alice in the call", async || {
            membership(&bob, room, &key).await.filter(|found| found["application"] == "m.call")
        })
        .await?;

        drop(call);
        server.kill_and_restart().await?;
        bob.sync().start().await;
        until("bob sees that alice is gone", async || {
            membership(&bob, room, &key).await.filter(|found| *found == json!({}))
        })
        .await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_widget_gets_a_token_that_names_the_server() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, _there) = talk(&alice, &bob, false).await?;
        let widget = Widget::open(&here.room, Vec::new()).await?;
        let asked = widget.ask("get_openid", json!({})).await?;
        assert_eq!(asked["state"], "request");
        let token = widget.hear("openid_credentials").await?;
        assert_eq!(token["state"], "allowed", "{token}");
        assert_eq!(token["matrix_server_name"], SERVER_NAME);
        assert_eq!(token["token_type"], "Bearer");
        assert!(token["access_token"].as_str().is_some_and(|token| !token.is_empty()));
        Ok(())
    })
    .await;
}
