//! `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync` (MSC4186)

use blaupause_sync::SlidingRequest;
use ruma::api::client::sync::sync_events::v5::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn sync_events_v5(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    Ok(app.sync.sliding(request_of(call)).await?)
}

/// Thousands wait: nothing is kept of the request but what the wait needs.
fn request_of(call: Call<Request>) -> SlidingRequest {
    let Call { who, body, .. } = call;
    SlidingRequest { user: who.user_id, device: who.device_id, body }
}
