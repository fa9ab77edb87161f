//! `DELETE /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`

use ruma::api::client::push::delete_pushrule::v3::{Request, Response};

use super::known;
use crate::{ApiError, App, Call};

pub(crate) async fn delete_pushrule(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    app.notify.delete_rule(&call.who.user_id, known(&call.body.kind), &call.body.rule_id).await?;
    Ok(Response::new())
}
