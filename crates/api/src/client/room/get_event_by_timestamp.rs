//! `GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event`

use ruma::{
    MilliSecondsSinceUnixEpoch, UInt,
    api::client::room::get_event_by_timestamp::v1::{Request, Response},
};

use crate::{ApiError, App, Call, client::access::access};

pub(crate) async fn get_event_by_timestamp(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let access = access(&app, &call.who, &call.body.room_id).await?;
    let event = access.event_near(call.body.ts.get().into(), call.body.dir).await?;
    let ts = MilliSecondsSinceUnixEpoch(UInt::new_saturating(event.origin_server_ts));
    Ok(Response::new(event.stored.event_id.clone(), ts))
}
