//! `POST …/requestToken`, six of them: mails and text messages that prove an address. Text messages
//! are not sent by this server.

use axum::Router;
use blaupause_accounts::{AskedProof, EmailAddress, ProofPurpose, RegistrationMode};
use http::StatusCode;
use ruma::{
    ClientSecret, OwnedSessionId, SessionId, UInt,
    api::client::account::{
        request_3pid_management_token_via_email as management_email,
        request_3pid_management_token_via_msisdn as management_msisdn,
        request_password_change_token_via_email as password_email,
        request_password_change_token_via_msisdn as password_msisdn,
        request_registration_token_via_email as registration_email,
        request_registration_token_via_msisdn as registration_msisdn,
    },
};

use crate::{ApiError, App, Call, Serve};

pub(super) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(for_account)
        .serve(for_password)
        .serve(for_registration)
        .serve(|_, _: Call<management_msisdn::v3::Request>| async move { not_supported() })
        .serve(|_, _: Call<password_msisdn::v3::Request>| async move { not_supported() })
        .serve(|_, _: Call<registration_msisdn::v3::Request>| async move { not_supported() })
}

async fn for_account(
    app: App,
    call: Call<management_email::v3::Request>,
) -> Result<management_email::v3::Response, ApiError> {
    let body = call.body;
    let asked = Asked::new(&body.email, &body.client_secret, body.send_attempt, &body.next_link);
    let sid = ask(&app, &ProofPurpose::Account, asked).await?;
    Ok(management_email::v3::Response::new(sid))
}

async fn for_password(
    app: App,
    call: Call<password_email::v3::Request>,
) -> Result<password_email::v3::Response, ApiError> {
    let body = call.body;
    let asked = Asked::new(&body.email, &body.client_secret, body.send_attempt, &body.next_link);
    if app.settings.mail.is_some() && !app.accounts.settings().password_login {
        return Err(ApiError::forbidden("there are no passwords on this server"));
    }
    let sid = ask(&app, &ProofPurpose::Password, asked).await?;
    Ok(password_email::v3::Response::new(sid))
}

async fn for_registration(
    app: App,
    call: Call<registration_email::v3::Request>,
) -> Result<registration_email::v3::Response, ApiError> {
    let body = call.body;
    let asked = Asked::new(&body.email, &body.client_secret, body.send_attempt, &body.next_link);
    let is_closed = app.accounts.settings().registration == RegistrationMode::Closed;
    if app.settings.mail.is_some() && is_closed {
        return Err(ApiError::forbidden("registration is not open"));
    }
    let sid = ask(&app, &ProofPurpose::Registration, asked).await?;
    Ok(registration_email::v3::Response::new(sid))
}

/// What all three requests say.
#[derive(Clone, Copy)]
struct Asked<'a> {
    email: &'a str,
    client_secret: &'a ClientSecret,
    send_attempt: UInt,
    next_link: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn new(
        email: &'a str,
        client_secret: &'a ClientSecret,
        send_attempt: UInt,
        next_link: &'a Option<String>,
    ) -> Self {
        Self { email, client_secret, send_attempt, next_link: next_link.as_deref() }
    }
}

/// Send a mail that asks whether the address is theirs who asked. For a new password the answer is
/// the same for addresses that nobody has (spec: client-server API, "Password management").
async fn ask(
    app: &App,
    purpose: &ProofPurpose,
    asked: Asked<'_>,
) -> Result<OwnedSessionId, ApiError> {
    let not_an_address = || ApiError::invalid_param("this is no mail address");
    let Some(proofs) = &app.settings.mail else {
        return if asked.email.contains('@') { not_supported() } else { Err(not_an_address()) };
    };
    let address = EmailAddress::parse(asked.email).ok_or_else(not_an_address)?;
    proofs.mailer.count(&address)?;
    let opened = app
        .accounts
        .open_proof(AskedProof {
            purpose,
            address: &address,
            client_secret: asked.client_secret.as_str(),
            send_attempt: asked.send_attempt.into(),
            // Clients send people to themselves without asking whether they may: whoever is sent
            // nowhere reads on a page of ours that they can go back.
            next_link: asked.next_link.filter(|next| proofs.may_lead_to(next)),
        })
        .await?;
    if let Some(token) = &opened.token {
        let server = app.data.server_name().as_str();
        proofs.mailer.send(proofs.question(server, purpose, address, &opened.sid, token))?;
    }
    SessionId::parse(opened.sid).map_err(|error| ApiError::internal(&error))
}

fn not_supported<T>() -> Result<T, ApiError> {
    let message = "this server does not send such messages";
    Err(ApiError::new(StatusCode::BAD_REQUEST, "M_THREEPID_MEDIUM_NOT_SUPPORTED", message))
}
