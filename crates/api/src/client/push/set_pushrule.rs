//! `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`

use blaupause_notify::RulePlace;
use ruma::api::client::push::set_pushrule::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn set_pushrule(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { rule, before, after, .. } = call.body;
    app.notify.put_rule(&call.who.user_id, rule, &RulePlace { before, after }).await?;
    Ok(Response::new())
}
