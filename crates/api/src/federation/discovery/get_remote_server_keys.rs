//! `GET /_matrix/key/v2/query/{serverName}`

use std::collections::BTreeMap;

use ruma::api::federation::discovery::get_remote_server_keys::v2::{Request, Response};

use super::raw;
use crate::{ApiError, App, Call};

pub(crate) async fn get_remote_server_keys(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { server_name, minimum_valid_until_ts, .. } = call.body;
    let wanted = BTreeMap::from([(server_name, minimum_valid_until_ts.get().into())]);
    let documents = app.federation.keys_of_others(wanted).await?;
    Ok(Response::new(documents.iter().map(raw).collect::<Result<_, _>>()?))
}
