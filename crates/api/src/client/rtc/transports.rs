//! `GET /_matrix/client/unstable/org.matrix.msc4143/rtc/transports`, and where it is to be once the
//! proposal is accepted

use ruma::api::{
    auth_scheme::AccessToken,
    client::rtc::{
        RtcTransport,
        transports::v1::{Request, Response},
    },
};
use serde_json::{Map, Value, json};

use crate::{ApiError, App, Call, app::LiveKit, asked::Asked};

pub(crate) async fn transports(app: App, _: Call<Request>) -> Result<Response, ApiError> {
    Ok(Response::new(all(&app)?))
}

pub(crate) async fn transports_v1(app: App, _: Asked<AccessToken>) -> Result<Value, ApiError> {
    Ok(json!({ "rtc_transports": all(&app)? }))
}

fn all(app: &App) -> Result<Vec<RtcTransport>, ApiError> {
    let transports = app.settings.rtc.iter().map(transport).collect::<Result<_, _>>();
    transports.map_err(|error| ApiError::internal(&error))
}

fn transport(livekit: &LiveKit) -> serde_json::Result<RtcTransport> {
    let data = Map::from_iter([(LiveKit::URL.to_owned(), Value::from(&*livekit.service_url))]);
    RtcTransport::new(LiveKit::TYPE, data)
}
