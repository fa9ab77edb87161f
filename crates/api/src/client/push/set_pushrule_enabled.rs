//! `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled`

use ruma::api::client::push::set_pushrule_enabled::v3::{Request, Response};

use super::known;
use crate::{ApiError, App, Call};

pub(crate) async fn set_pushrule_enabled(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { kind, rule_id, enabled, .. } = call.body;
    app.notify.enable_rule(&call.who.user_id, known(&kind), &rule_id, enabled).await?;
    Ok(Response::new())
}
