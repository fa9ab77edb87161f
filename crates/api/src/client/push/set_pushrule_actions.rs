//! `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions`

use ruma::api::client::push::set_pushrule_actions::v3::{Request, Response};

use super::known;
use crate::{ApiError, App, Call};

pub(crate) async fn set_pushrule_actions(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { kind, rule_id, actions, .. } = call.body;
    app.notify.set_rule_actions(&call.who.user_id, known(&kind), &rule_id, actions).await?;
    Ok(Response::new())
}
