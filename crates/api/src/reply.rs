//! A ruma response as HTTP.

use axum::{body::Body, response::Response};
use ruma::api::{OutgoingResponse, OutgoingResponseExt};

use crate::ApiError;

pub(crate) fn reply(response: impl OutgoingResponse) -> Response {
    match response.try_into_http_response::<Vec<u8>>() {
        Ok(response) => response.map(Body::from),
        Err(error) => {
            use axum::response::IntoResponse;
            ApiError::internal(&error).into_response()
        }
    }
}
