//! `POST /_matrix/client/v3/search`

use std::collections::BTreeMap;

use blaupause_rooms::{SearchQuery, SearchResult, SearchResults};
use ruma::{
    OwnedEventId, UInt,
    api::client::search::search_events::v3::{
        Criteria, EventContextResult, GroupingKey, OrderBy, Request, Response, ResultCategories,
        ResultGroup, ResultGroupMap, ResultRoomEvents, SearchResult as SearchResultJson,
    },
    serde::Raw,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use crate::{
    ApiError, App, Call,
    client::access::{raw, reader},
    routes::Answer,
};

pub(crate) async fn search_events(
    app: App,
    call: Call<Request>,
) -> Result<Answer<Response>, ApiError> {
    if !is_asked(&call.raw) {
        return Err(ApiError::unknown("search_categories is missing"));
    }
    let wants_context = wants_context(&call.raw);
    let mut categories = ResultCategories::new();
    if let Some(criteria) = call.body.search_categories.room_events {
        let query = SearchQuery {
            term: criteria.search_term.clone(),
            keys: criteria.keys.iter().flatten().map(ToString::to_string).collect(),
            filter: criteria.filter.clone(),
            by_rank: criteria.order_by != Some(OrderBy::Recent),
            context: wants_context.then(|| {
                let context = &criteria.event_context;
                (context.before_limit.into(), context.after_limit.into())
            }),
            include_state: criteria.include_state.unwrap_or(false),
            next_batch: call.body.next_batch,
        };
        let found = app.rooms.search(&reader(&call.who), &query).await?;
        categories.room_events = told(found, &criteria);
    }
    // ruma leaves an empty list out; clients read it.
    let mut categories = serde_json::to_value(&categories).map_err(|e| ApiError::internal(&e))?;
    if let Some(found) = categories.get_mut("room_events").and_then(Value::as_object_mut) {
        found.entry("results").or_insert_with(|| json!([]));
    }
    Ok(Answer::Other(json!({ "search_categories": categories })))
}

fn told(found: SearchResults, criteria: &Criteria) -> ResultRoomEvents {
    let mut answer = ResultRoomEvents::new();
    answer.count = UInt::try_from(found.count).ok();
    answer.highlights = found.highlights;
    answer.next_batch = found.next_batch;
    answer.state = found.state.into_iter().map(|(room, state)| (room, raw(state))).collect();
    for grouping in &criteria.groupings.group_by {
        let groups = match grouping.key {
            Some(GroupingKey::RoomId) => {
                ResultGroupMap::RoomId(groups(&found.results, |result| result.room.clone()))
            }
            Some(GroupingKey::Sender) => {
                ResultGroupMap::Sender(groups(&found.results, |result| result.sender.clone()))
            }
            _ => continue,
        };
        answer.groups.insert(groups);
    }
    answer.results = found.results.into_iter().map(hit).collect();
    answer
}

fn groups<K: Ord>(
    results: &[SearchResult],
    key: impl Fn(&SearchResult) -> K,
) -> BTreeMap<K, ResultGroup> {
    let mut groups: BTreeMap<K, ResultGroup> = BTreeMap::new();
    let mut order = 0u32;
    for result in results {
        let group = groups.entry(key(result)).or_insert_with(|| {
            let mut group = ResultGroup::new();
            order += 1;
            group.order = Some(order.into());
            group
        });
        let id: OwnedEventId = result.event.event().stored.event_id.clone();
        group.results.push(id);
    }
    groups
}

fn hit(result: SearchResult) -> SearchResultJson {
    let mut hit = SearchResultJson::new();
    hit.rank = Some(result.rank);
    hit.result = Some(Raw::from_json(result.json));
    if let Some(context) = result.context {
        hit.context = EventContextResult::new();
        hit.context.start = Some(context.start);
        hit.context.end = Some(context.end);
        hit.context.events_before = raw(context.before);
        hit.context.events_after = raw(context.after);
    }
    hit
}

/// Whether the body says what to search in.
fn is_asked(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Asked {
        search_categories: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Asked>(body).is_ok_and(|asked| asked.search_categories.is_some())
}

/// ruma has the same value for "the default context" and "no context".
fn wants_context(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Asked {
        search_categories: Categories,
    }
    #[derive(Deserialize)]
    struct Categories {
        room_events: Events,
    }
    #[derive(Deserialize)]
    struct Events {
        event_context: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Asked>(body)
        .is_ok_and(|asked| asked.search_categories.room_events.event_context.is_some())
}
