//! `POST /_matrix/client/v3/users/{userId}/report`

use blaupause_rooms::{Report, Reported};
use ruma::api::client::reporting::report_user::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn report_user(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let report = Report {
        reporter: call.who.user_id,
        about: Reported::User(call.body.user_id),
        reason: Some(call.body.reason),
        score: None,
    };
    app.rooms.report(report).await?;
    Ok(Response::new())
}
