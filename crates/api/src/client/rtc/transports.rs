//! `GET /_matrix/client/unstable/org.matrix.msc4143/rtc/transports`

use ruma::api::client::rtc::{
    RtcTransport,
    transports::v1::{Request, Response},
};
use serde_json::{Map, Value};

use crate::{ApiError, App, Call, app::LiveKit};

pub(crate) async fn transports(app: App, _: Call<Request>) -> Result<Response, ApiError> {
    let transports = app.settings.rtc.iter().map(transport).collect::<Result<_, _>>();
    Ok(Response::new(transports.map_err(|error| ApiError::internal(&error))?))
}

fn transport(livekit: &LiveKit) -> serde_json::Result<RtcTransport> {
    let data = Map::from_iter([(LiveKit::URL.to_owned(), Value::from(&*livekit.service_url))]);
    RtcTransport::new(LiveKit::TYPE, data)
}
