//! `GET /_matrix/client/v3/sync`

use std::sync::Arc;

use blaupause_sync::{SyncRequest, SyncToken};
use ruma::{
    UserId,
    api::client::{
        filter::FilterDefinition,
        sync::sync_events::v3::{Filter, Request, Response},
    },
    presence::PresenceState,
};

use super::written::written;
use crate::{ApiError, App, Call, routes::Answer};

pub(crate) async fn sync_events_v3(
    app: App,
    call: Call<Request>,
) -> Result<Answer<Response>, ApiError> {
    // Thousands wait here: nothing is kept of the request but what the wait needs.
    let request = Box::pin(request_of(&app, call)).await?;
    let response = app.sync.v3(request).await?;
    Ok(Answer::Written(written(&response).map_err(|error| ApiError::internal(&error))?))
}

async fn request_of(app: &App, call: Call<Request>) -> Result<SyncRequest, ApiError> {
    let Call { who, body, .. } = call;
    // Not what ruma's open enum lets through.
    if !matches!(
        body.set_presence,
        PresenceState::Online | PresenceState::Offline | PresenceState::Unavailable
    ) {
        return Err(ApiError::invalid_param("set_presence is online, offline or unavailable"));
    }
    let since = match &body.since {
        None => None,
        Some(since) => {
            let token = SyncToken::parse(since);
            Some(token.ok_or_else(|| ApiError::invalid_param("since is not a token of ours"))?)
        }
    };
    Ok(SyncRequest {
        filter: filter(app, &who.user_id, body.filter).await?,
        user: who.user_id,
        device: who.device_id,
        since,
        full_state: body.full_state,
        set_presence: body.set_presence,
        timeout: body.timeout.unwrap_or_default(),
        use_state_after: body.use_state_after,
    })
}

async fn filter(
    app: &App,
    user: &UserId,
    filter: Option<Filter>,
) -> Result<Arc<FilterDefinition>, ApiError> {
    Ok(match filter {
        None => Arc::default(),
        Some(Filter::FilterDefinition(filter)) => Arc::new(filter),
        Some(Filter::FilterId(id)) => app
            .accounts
            .filter(user, &id)
            .await?
            .ok_or_else(|| ApiError::invalid_param("there is no such filter"))?,
        Some(_) => return Err(ApiError::invalid_param("filter is neither an id nor a filter")),
    })
}
