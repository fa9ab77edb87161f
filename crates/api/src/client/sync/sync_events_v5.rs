//! `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync` (MSC4186)

use blaupause_sync::SlidingRequest;
use ruma::api::client::sync::sync_events::v5::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn sync_events_v5(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let (user, device) = (call.who.user_id.clone(), call.who.device_id.clone());
    Ok(app.sync.sliding(SlidingRequest { user, device, body: call.body }).await?)
}
