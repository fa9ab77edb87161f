//! `GET /_matrix/client/v3/rooms/{roomId}/messages`

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response as HttpResponse},
};
use blaupause_rooms::MessagesQuery;
use http::Uri;
use ruma::api::client::message::get_message_events::v3::{Request, Response};

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
    let access = access(app, &call.who, &call.body.room_id).await?;
    let Request { from, to, dir, limit, filter, .. } = call.body;
    let query = MessagesQuery { from, to, dir, limit: limit.into(), filter };
    let page = access.messages(&query).await?;
    let mut response = Response::new();
    response.start = page.start;
    response.end = page.end;
    response.chunk = raw(page.chunk);
    response.state = raw(page.state);
    Ok(response)
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
