//! `POST …/requestToken`, six of them: mails and text messages that prove an address. This server
//! sends neither, so all give the same answer, once their parameters are well-formed.

use axum::Router;
use http::StatusCode;
use ruma::api::client::account::{
    request_3pid_management_token_via_email as management_email,
    request_3pid_management_token_via_msisdn as management_msisdn,
    request_password_change_token_via_email as password_email,
    request_password_change_token_via_msisdn as password_msisdn,
    request_registration_token_via_email as registration_email,
    request_registration_token_via_msisdn as registration_msisdn,
};

use crate::{ApiError, App, Call, Serve};

/// Bytes of a mail address (Synapse's limit).
const EMAIL_BYTES_MAX: usize = 500;

pub(super) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(
            |_, call: Call<management_email::v3::Request>| async move { email(&call.body.email) },
        )
        .serve(|_, call: Call<password_email::v3::Request>| async move { email(&call.body.email) })
        .serve(
            |_, call: Call<registration_email::v3::Request>| async move { email(&call.body.email) },
        )
        .serve(|_, _: Call<management_msisdn::v3::Request>| async move { not_supported() })
        .serve(|_, _: Call<password_msisdn::v3::Request>| async move { not_supported() })
        .serve(|_, _: Call<registration_msisdn::v3::Request>| async move { not_supported() })
}

fn email<T>(address: &str) -> Result<T, ApiError> {
    if address.len() > EMAIL_BYTES_MAX || !address.contains('@') {
        return Err(ApiError::invalid_param("this is no mail address"));
    }
    not_supported()
}

fn not_supported<T>() -> Result<T, ApiError> {
    let message = "this server sends neither mails nor text messages";
    Err(ApiError::new(StatusCode::BAD_REQUEST, "M_THREEPID_MEDIUM_NOT_SUPPORTED", message))
}
