//! `PUT /_matrix/client/v3/devices/{deviceId}`

use http::StatusCode;
use ruma::api::{
    IncomingRequest, Metadata, OutgoingResponse,
    client::device::update_device::v3,
    error::{DeserializationError, IntoHttpError},
};

use crate::{ApiError, App, Call};

/// ruma's request, whose answer also says whether the device is new: ruma 0.17 knows only 200.
#[derive(Debug)]
pub(crate) struct Request(v3::Request);

/// 201 for a new device, 200 for one that was there.
#[derive(Debug)]
pub(crate) struct Response {
    is_new: bool,
}

impl Metadata for Request {
    const METHOD: http::Method = v3::Request::METHOD;
    const RATE_LIMITED: bool = v3::Request::RATE_LIMITED;
    type Authentication = <v3::Request as Metadata>::Authentication;
    type PathBuilder = <v3::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = v3::Request::PATH_BUILDER;
}

impl IncomingRequest for Request {
    type EndpointError = <v3::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        v3::Request::try_from_http_request_inner(request, path_args).map(Self)
    }
}

impl OutgoingResponse for Response {
    type Body = <v3::Response as OutgoingResponse>::Body;

    fn try_into_http_response_inner(self) -> Result<http::Response<Self::Body>, IntoHttpError> {
        let mut response = v3::Response::new().try_into_http_response_inner()?;
        if self.is_new {
            *response.status_mut() = StatusCode::CREATED;
        }
        Ok(response)
    }
}

/// Application services make devices this way; others only name theirs.
pub(crate) async fn update_device(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let v3::Request { device_id, display_name, .. } = call.body.0;
    let (user, name) = (&call.who.user_id, display_name.as_deref());
    if call.who.service.is_some() {
        let is_new = app.accounts.put_device(user, &device_id, name).await?;
        return Ok(Response { is_new });
    }
    app.accounts.rename_device(user, &device_id, name).await?;
    Ok(Response { is_new: false })
}
