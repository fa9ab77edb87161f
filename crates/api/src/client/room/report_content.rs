//! `POST /_matrix/client/v3/rooms/{roomId}/report/{eventId}`

use blaupause_rooms::{Report, Reported};
use ruma::api::client::room::report_content::v3::{Request, Response};
use serde::Deserialize;

use crate::{ApiError, App, Call};

/// What old clients say besides the reason.
#[derive(Deserialize)]
struct Score {
    score: Option<i64>,
}

pub(crate) async fn report_content(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Score { score } = serde_json::from_slice(&call.raw)
        .map_err(|_| ApiError::bad_json("`score` is an integer"))?;
    let report = Report {
        reporter: call.who.user_id,
        about: Reported::Event { room: call.body.room_id, event: call.body.event_id },
        reason: call.body.reason,
        score,
    };
    app.rooms.report(report).await?;
    Ok(Response::new())
}
