//! `GET /_matrix/client/v3/user/{userId}/filter/{filterId}`

use ruma::api::client::filter::get_filter::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_filter(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { user_id, filter_id, .. } = &call.body;
    call.who.must_be(user_id)?;
    let filter = app.accounts.filter(user_id, filter_id).await?;
    let filter = filter.ok_or_else(|| ApiError::not_found("there is no such filter"))?;
    Ok(Response::new((*filter).clone()))
}
