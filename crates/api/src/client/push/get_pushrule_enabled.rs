//! `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled`

use blaupause_notify::NotifyError;
use ruma::api::client::push::get_pushrule_enabled::v3::{Request, Response};

use super::known;
use crate::{ApiError, App, Call};

pub(crate) async fn get_pushrule_enabled(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let rules = app.notify.ruleset(&call.who.user_id).await?;
    let rule = rules.get(known(&call.body.kind), &call.body.rule_id);
    Ok(Response::new(rule.ok_or(NotifyError::RuleUnknown)?.enabled()))
}
