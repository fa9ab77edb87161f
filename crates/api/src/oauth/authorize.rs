//! `GET` and `POST /oauth2/authorize` (RFC 6749, section 3.1): a person decides whether a client
//! gets access.

use std::sync::Arc;

use axum::response::Response;
use blaupause_accounts::{AuthorizationRequest, RefusedRequest, RegistrationMode};
use http::StatusCode;

use crate::pages::{self, Problem, Visit, consent};

/// Show what the client asks for. Nothing is remembered meanwhile: the request stands in the
/// page's address.
pub(super) async fn ask(visit: Arc<Visit>) -> Result<Response, Problem> {
    let request = match understood(&visit).await? {
        Ok(request) => request,
        Err(answer) => return Ok(answer),
    };
    let Some(browser) = &visit.browser else { return Ok(to_sign_in(&visit, &request)) };
    let device = &request.scope.device_id;
    let existing = visit.app.accounts.device(&browser.user_id, device).await?;
    Ok(consent::page(&visit, browser, &request, existing.as_ref()))
}

/// The person decided.
pub(super) async fn decide(visit: Arc<Visit>) -> Result<Response, Problem> {
    let request = match understood(&visit).await? {
        Ok(request) => request,
        Err(answer) => return Ok(answer),
    };
    let Some(browser) = &visit.browser else { return Ok(to_sign_in(&visit, &request)) };
    let back = &request.back;
    match visit.form.get("decision") {
        Some("allow") => {
            let (user, origin) = (&browser.user_id, browser.origin.as_ref());
            let code = visit.app.accounts.grant_code(user, &request, origin).await?;
            Ok(pages::redirect(&back.with(&[("code", code.reveal())])))
        }
        Some("deny") => {
            let why = "the user said no";
            let answer = [("error", "access_denied"), ("error_description", why)];
            Ok(pages::redirect(&back.with(&answer)))
        }
        _ => Ok(pages::redirect(&visit.here())),
    }
}

async fn understood(visit: &Visit) -> Result<Result<AuthorizationRequest, Response>, Problem> {
    let found = visit.app.accounts.authorization_request(visit.query.all()).await;
    match found {
        Ok(request) => Ok(Ok(request)),
        Err(RefusedRequest::Here(why)) => Ok(Err(bad_request(visit, why))),
        Err(RefusedRequest::Back { to, has_users, error, description }) => {
            let answer = [("error", error), ("error_description", description)];
            let to = to.with(&answer);
            Ok(Err(if has_users {
                pages::redirect(&to)
            } else {
                consent::way_back(visit, &to, description)
            }))
        }
        Err(RefusedRequest::Failed(error)) => Err(error.into()),
    }
}

fn bad_request(visit: &Visit, why: &str) -> Response {
    let lang = visit.lang;
    let text = lang.t(
        "Die Anwendung hat eine Anfrage gestellt, die nicht stimmt. Bitte beginnen Sie dort noch \
         einmal, oder fragen Sie, wer die Anwendung anbietet.",
        "The application made a request that is not right. Please start again there, or ask \
         whoever provides the application.",
    );
    pages::message(
        visit,
        StatusCode::BAD_REQUEST,
        visit.t("Ungültige Anfrage", "Invalid request"),
        text,
        Some(why),
    )
}

fn to_sign_in(visit: &Visit, request: &AuthorizationRequest) -> Response {
    let mode = visit.app.accounts.settings().registration;
    let page = if request.wants_account && mode != RegistrationMode::Closed {
        "/account/register"
    } else {
        "/account/login"
    };
    let hint = request.login_hint.as_deref().and_then(|hint| hint.strip_prefix("mxid:"));
    pages::redirect(&visit.link(page, &[("next", &visit.here()), ("name", hint.unwrap_or(""))]))
}
