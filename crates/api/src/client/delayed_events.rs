//! Events that the server sends later (MSC4140), under the proposal's name and at the stable paths
//! of its final text.
//!
//! Who knows the id of a delay may manage it at the unstable paths without a token: that is how
//! the backend of a call says that somebody is gone. The stable paths ask for the token.

mod get_all_delayed_events;
mod get_delayed_event;
mod send_delayed_event;
mod update_delayed_event;

use axum::Router;
use blaupause_rooms::{DelayAction, DelayLimits, DelayedEvent};
use http::Method;
use ruma::api::auth_scheme::{AccessToken, AccessTokenOptional};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{ApiError, App, asked::ServeAsked, error::delayed_failure};

pub(in crate::client) use send_delayed_event::schedule;

const UNSTABLE: &str = "/_matrix/client/unstable/org.matrix.msc4140";
/// What can be done with a waiting event, by the name that it has in paths and bodies.
const ACTIONS: [(&str, DelayAction); 3] = [
    ("send", DelayAction::Send),
    ("cancel", DelayAction::Cancel),
    ("restart", DelayAction::Restart),
];

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    use get_all_delayed_events::get_all_delayed_events as all;
    use get_delayed_event::get_delayed_event as one;
    use send_delayed_event::send_delayed_event as send;
    use update_delayed_event::{update, update_by_body, update_with_token};
    type Token = AccessToken;
    type Optional = AccessTokenOptional;
    let send_at = "/rooms/{room_id}/delayed_event/{event_type}/{txn_id}";
    let one_at = "/delayed_events/{delay_id}";
    let unstable = |end: &str| format!("{UNSTABLE}{end}");
    let stable = |end: &str| format!("/_matrix/client/v1{end}");
    let mut router = router
        .serve_asked::<Token, _, _>(Method::PUT, &unstable(send_at), send)
        .serve_asked::<Token, _, _>(Method::PUT, &format!("/_matrix/client/v3{send_at}"), send)
        .serve_asked::<Token, _, _>(Method::GET, &unstable("/delayed_events"), all)
        .serve_asked::<Token, _, _>(Method::GET, &stable("/delayed_events"), all)
        .serve_asked::<Token, _, _>(Method::GET, &unstable(one_at), one)
        .serve_asked::<Token, _, _>(Method::GET, &stable(one_at), one)
        .serve_asked::<Optional, _, _>(Method::POST, &unstable(one_at), update_by_body);
    for (name, action) in ACTIONS {
        let at = format!("{one_at}/{name}");
        router = router
            .serve_asked::<Optional, _, _>(Method::POST, &unstable(&at), move |app, asked| {
                update(app, asked, action)
            })
            .serve_asked::<Token, _, _>(Method::POST, &stable(&at), move |app, asked| {
                update_with_token(app, asked, action)
            });
    }
    router
}

/// The capability that names the limits; nothing where events are not delayed.
pub(in crate::client) fn capability(limits: Option<DelayLimits>) -> Value {
    // The final text lets the server say with a 0 that nobody may schedule anything.
    match limits {
        None => json!({ "max_scheduled": 0 }),
        Some(limits) => json!({
            "max_delay_ms": limits.delay_ms_max,
            "max_scheduled": limits.waiting_max,
        }),
    }
}

/// How long the query of `/send` and `/state` asks to wait, in milliseconds.
pub(in crate::client) fn delay_in(query: Option<&str>) -> Result<Option<u64>, ApiError> {
    #[derive(Deserialize)]
    struct Query {
        #[serde(rename = "org.matrix.msc4140.delay")]
        delay: Option<u64>,
        #[serde(rename = "org.matrix.msc4140.parent_delay_id")]
        parent: Option<String>,
    }
    let Some(query) = query.filter(|query| query.contains("org.matrix.msc4140")) else {
        return Ok(None);
    };
    let uri = http::Uri::try_from(format!("/?{query}"))
        .map_err(|_| ApiError::invalid_param("the query cannot be read"))?;
    let query = axum::extract::Query::<Query>::try_from_uri(&uri)
        .map_err(|_| ApiError::invalid_param("the delay is a number of milliseconds"))?;
    // A client that thinks of a group must not have its event sent at once.
    if query.parent.is_some() {
        return Err(ApiError::invalid_param("delayed events have no parents"));
    }
    Ok(query.delay)
}

/// A delayed event under the names of the final text and under those of today's clients.
fn shown(event: DelayedEvent) -> Result<Value, ApiError> {
    let mut shown = Map::new();
    let content: Value =
        serde_json::from_str(event.content.get()).map_err(|error| ApiError::internal(&error))?;
    for (name, value) in [
        ("delay_id", json!(event.id)),
        ("room_id", json!(event.event.room_id)),
        ("type", json!(event.event.kind)),
        ("content", content),
        ("delay_ms", json!(event.event.delay_ms)),
        ("delay", json!(event.event.delay_ms)),
        ("delayed_since_ts", json!(event.event.since_ms)),
        ("running_since", json!(event.event.since_ms)),
    ] {
        shown.insert(name.to_owned(), value);
    }
    if let Some(key) = event.event.state_key {
        shown.insert("state_key".to_owned(), json!(key));
    }
    if let Some(ending) = event.ending {
        let mut finalised = Map::new();
        finalised.insert("finalised_ts".to_owned(), json!(ending.at_ms));
        if let Some(id) = ending.event() {
            finalised.insert("event_id".to_owned(), json!(id));
        }
        if let Some(error) = delayed_failure(&ending.outcome) {
            finalised.insert("error".to_owned(), error);
        }
        // Earlier texts have them one level up.
        shown.extend(finalised.clone());
        shown.insert("finalised".to_owned(), Value::Object(finalised));
    }
    Ok(Value::Object(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_read_from_the_query_and_nonsense_is_not_taken_for_none() {
        let delay = |query| delay_in(query).map_err(|error| error.status());
        assert_eq!(delay(None), Ok(None));
        assert_eq!(delay(Some("ts=1")), Ok(None));
        assert_eq!(delay(Some("org.matrix.msc4140.delay=15000")), Ok(Some(15_000)));
        assert_eq!(delay(Some("a=b&org%2ematrix.msc4140.delay=1")), Ok(None));
        for query in ["org.matrix.msc4140.delay=", "org.matrix.msc4140.delay=-1"] {
            assert!(delay(Some(query)).is_err(), "{query}");
        }
        assert!(delay(Some("org.matrix.msc4140.parent_delay_id=x")).is_err());
    }
}
