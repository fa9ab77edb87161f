//! `GET /_matrix/client/v3/rooms/{roomId}/messages`

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response as HttpResponse},
};
use blaupause_rooms::{MessagesQuery, filter::RelationFilter};
use http::Uri;
use ruma::api::client::message::get_message_events::v3::{Request, Response};
use serde::Deserialize;
use url::form_urlencoded;

use crate::{
    ApiError, App, Call,
    client::access::{access, raw},
    reply::reply,
};

/// The specification requires `dir`, other servers take it for `f` if it is absent, and who may
/// not read the room must hear that, not how to ask better.
pub(crate) async fn get_message_events(
    State(app): State<App>,
    mut request: http::Request<Body>,
) -> HttpResponse {
    if let Some(uri) = with_direction(request.uri()) {
        *request.uri_mut() = uri;
    }
    let answer = async {
        let call = Call::<Request>::from_request(&app, request, &[]).await?;
        messages(&app, call).await
    };
    match answer.await {
        Ok(response) => reply(response),
        Err(error) => error.into_response(),
    }
}

async fn messages(app: &App, call: Call<Request>) -> Result<Response, ApiError> {
    let relations = relations_in(call.query.as_deref())?;
    let access = access(app, &call.who, &call.body.room_id).await?;
    let Request { from, to, dir, limit, filter, .. } = call.body;
    let query = MessagesQuery { from, to, dir, limit: limit.into(), filter };
    let page = access.related_messages(&query, &relations).await?;
    let mut response = Response::new();
    response.start = page.start;
    response.end = page.end;
    response.chunk = raw(page.chunk);
    response.state = raw(page.state);
    Ok(response)
}

/// The part of the filter that ruma does not know (MSC3874), under the name of the proposal or the
/// one it is to have.
fn relations_in(query: Option<&str>) -> Result<RelationFilter, ApiError> {
    #[derive(Deserialize)]
    struct Filter {
        rel_types: Option<Vec<String>>,
        not_rel_types: Option<Vec<String>>,
        #[serde(rename = "org.matrix.msc3874.rel_types")]
        proposed_types: Option<Vec<String>>,
        #[serde(rename = "org.matrix.msc3874.not_rel_types")]
        proposed_not_types: Option<Vec<String>>,
    }
    let query = query.unwrap_or_default();
    let Some((_, filter)) =
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "filter")
    else {
        return Ok(RelationFilter::OPEN);
    };
    let filter: Filter = serde_json::from_str(&filter)
        .map_err(|_| ApiError::invalid_param("the types of relations are lists of text"))?;
    let not_types = filter.not_rel_types.or(filter.proposed_not_types).unwrap_or_default();
    Ok(RelationFilter { types: filter.rel_types.or(filter.proposed_types), not_types })
}

/// The address with `dir=f`, if it has no `dir`.
fn with_direction(uri: &Uri) -> Option<Uri> {
    let query = uri.query().unwrap_or_default();
    if query.split('&').any(|pair| pair == "dir" || pair.starts_with("dir=")) {
        return None;
    }
    let separator = if query.is_empty() { "" } else { "&" };
    format!("{}?{query}{separator}dir=f", uri.path()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_direction_is_forward() {
        let complete = |text: &str| {
            let uri: Uri = text.parse().expect("an address");
            with_direction(&uri).map(|uri| uri.to_string())
        };
        assert_eq!(complete("/x").as_deref(), Some("/x?dir=f"));
        assert_eq!(complete("/x?limit=1").as_deref(), Some("/x?limit=1&dir=f"));
        assert_eq!(complete("/x?limit=1&dir=b"), None);
    }
}
