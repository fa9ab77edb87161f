//! `POST /_matrix/client/v3/rooms/{roomId}/report`

use blaupause_rooms::{Report, Reported};
use ruma::api::client::room::report_room::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn report_room(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let report = Report {
        reporter: call.who.user_id,
        about: Reported::Room(call.body.room_id),
        reason: Some(call.body.reason),
        score: None,
    };
    app.rooms.report(report).await?;
    Ok(Response::new())
}
