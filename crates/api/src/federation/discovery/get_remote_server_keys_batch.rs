//! `POST /_matrix/key/v2/query`

use ruma::api::federation::discovery::get_remote_server_keys_batch::v2::{
    QueryCriteria, Request, Response,
};

use super::raw;
use crate::{ApiError, App, Call};

pub(crate) async fn get_remote_server_keys_batch(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let now_ms = app.data.env().now_millis();
    let until = |criteria: &QueryCriteria| {
        criteria.minimum_valid_until_ts.map_or(now_ms, |until| until.get().into())
    };
    // All keys of a server come together, so the strictest wish counts.
    let wanted = call.body.server_keys.into_iter();
    let wanted = wanted.map(|(server, keys)| (server, keys.values().map(until).max()));
    let wanted = wanted.map(|(server, until)| (server, until.unwrap_or(now_ms))).collect();
    let documents = app.federation.keys_of_others(wanted).await?;
    Ok(Response::new(documents.iter().map(raw).collect::<Result<_, _>>()?))
}
