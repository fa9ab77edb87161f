//! Networks that application services bridge to.

mod get_location_for_protocol;
mod get_location_for_room_alias;
mod get_protocol;
mod get_protocols;
mod get_user_for_protocol;
mod get_user_for_user_id;

use std::collections::BTreeMap;

use axum::Router;

use crate::{ApiError, App, Serve, caller::CALLER_QUERY};

/// Fields of one search, and bytes of each name and value.
const FIELDS_MAX: usize = 20;
const FIELD_BYTES_MAX: usize = 1_000;

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(get_location_for_protocol::get_location_for_protocol)
        .serve(get_location_for_room_alias::get_location_for_room_alias)
        .serve(get_protocol::get_protocol)
        .serve(get_protocols::get_protocols)
        .serve(get_user_for_protocol::get_user_for_protocol)
        .serve(get_user_for_user_id::get_user_for_user_id)
}

/// The fields of a search, without what the query says of the caller: no service may see a token.
fn fields(query: &BTreeMap<String, String>) -> Result<Vec<(&str, &str)>, ApiError> {
    let fields: Vec<_> = query
        .iter()
        .filter(|(name, _)| !CALLER_QUERY.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let is_long = |(name, value): &(&str, &str)| {
        name.len() > FIELD_BYTES_MAX || value.len() > FIELD_BYTES_MAX
    };
    if fields.len() > FIELDS_MAX || fields.iter().any(is_long) {
        return Err(ApiError::invalid_param("too many fields"));
    }
    Ok(fields)
}
