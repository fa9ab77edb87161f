//! Raw events of other servers are checked: shape, size, signatures, hash (server-server API,
//! "Checks performed on receipt of a PDU", steps 1 to 3).

use std::collections::BTreeMap;

use blaupause_graph::{Pdu, Refusal, Unverified};
use ruma::{OwnedEventId, OwnedServerName, RoomId, room_version_rules::RoomVersionRules};
use serde_json::value::RawValue;

use crate::Rooms;

/// Events that are checked in one go of the pool for CPU work.
const STEP_EVENTS: usize = 500;

/// What became of raw events.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// In the order given, each once.
    pub good: Vec<Pdu>,
    /// Those whose keys could not be had, and whose: later they may be good.
    pub keyless: BTreeMap<OwnedEventId, OwnedServerName>,
}

impl Rooms {
    /// Check events that are said to be of a room. What is malformed, of another room, or wrongly
    /// signed is left out.
    pub(crate) async fn check_events(
        &self,
        room: &RoomId,
        raw: Vec<Box<RawValue>>,
        rules: &RoomVersionRules,
    ) -> Checked {
        let env = self.data().env();
        let mut parsed: BTreeMap<OwnedEventId, (usize, Unverified)> = BTreeMap::new();
        let mut raw = raw.into_iter().enumerate().peekable();
        while raw.peek().is_some() {
            let step: Vec<_> = raw.by_ref().take(STEP_EVENTS).collect();
            let (rules, room) = (rules.clone(), room.to_owned());
            let read = move || -> Vec<(usize, Unverified)> {
                let read = step.iter().filter_map(|(at, raw)| {
                    let event = Unverified::parse(raw, &rules).ok()?;
                    (event.room_id() == room).then_some((*at, event))
                });
                read.collect()
            };
            for (at, event) in env.cpu(read).await {
                parsed.entry(event.event_id().to_owned()).or_insert((at, event));
            }
        }
        let keys = self.federation().keys_for(parsed.values().map(|(_, event)| event), rules).await;
        let mut events: Vec<_> = parsed.into_values().collect();
        events.sort_by_key(|(at, _)| *at);
        let mut events = events.into_iter().map(|(_, event)| event).peekable();
        let mut checked = Checked::default();
        while events.peek().is_some() {
            let step: Vec<_> = events.by_ref().take(STEP_EVENTS).collect();
            let (rules, keys) = (rules.clone(), keys.clone());
            let verify = move || -> Vec<(OwnedEventId, Result<Pdu, Refusal>)> {
                step.into_iter()
                    .map(|event| {
                        let (id, keys) = (event.event_id().to_owned(), keys.of(&event));
                        (id, event.verify(&keys, &rules))
                    })
                    .collect()
            };
            for (id, verified) in env.cpu(verify).await {
                match verified {
                    Ok(pdu) => checked.good.push(pdu),
                    Err(Refusal::KeysMissing(server)) => {
                        checked.keyless.insert(id, server);
                    }
                    Err(error) => tracing::debug!(event = %id, %error, "an event is left out"),
                }
            }
        }
        checked
    }
}
