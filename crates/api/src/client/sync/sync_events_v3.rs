//! `GET /_matrix/client/v3/sync`

use std::sync::Arc;

use blaupause_sync::{SyncRequest, SyncToken};
use ruma::{
    api::client::{
        filter::FilterDefinition,
        sync::sync_events::v3::{Filter, Request, Response},
    },
    presence::PresenceState,
};

use crate::{ApiError, App, Call};

pub(crate) async fn sync_events_v3(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let (who, body) = (&call.who, &call.body);
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
    let request = SyncRequest {
        user: who.user_id.clone(),
        device: who.device_id.clone(),
        since,
        filter: filter(&app, &call).await?,
        full_state: body.full_state,
        set_presence: body.set_presence.clone(),
        timeout: body.timeout.unwrap_or_default(),
        use_state_after: body.use_state_after,
    };
    Ok(app.sync.v3(request).await?)
}

async fn filter(app: &App, call: &Call<Request>) -> Result<Arc<FilterDefinition>, ApiError> {
    Ok(match &call.body.filter {
        None => Arc::default(),
        Some(Filter::FilterDefinition(filter)) => Arc::new(filter.clone()),
        Some(Filter::FilterId(id)) => app
            .accounts
            .filter(&call.who.user_id, id)
            .await?
            .ok_or_else(|| ApiError::invalid_param("there is no such filter"))?,
        Some(_) => return Err(ApiError::invalid_param("filter is neither an id nor a filter")),
    })
}
