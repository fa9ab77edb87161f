//! The page that a link in a mail leads to. It asks once more: programs that look at mails for
//! their readers follow links, and press no buttons.

use std::sync::Arc;

use axum::{Router, response::Response};
use blaupause_accounts::{AccountsError, ProofPurpose, ShownProof};
use http::{Method, StatusCode};
use maud::html;

use super::{Problem, Visit, emails, forms, layout, message, redirect, serve};
use crate::{App, mail::CONFIRM};

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, CONFIRM, show);
    serve(router, Method::POST, CONFIRM, confirm)
}

async fn show(visit: Arc<Visit>) -> Result<Response, Problem> {
    let (sid, token) = (visit.query.text("sid"), visit.query.text("token"));
    match visit.app.accounts.shown_proof(sid, token).await? {
        None => Ok(too_old(&visit)),
        Some(shown) if shown.is_proved => Ok(done(&visit, &shown)),
        Some(shown) => Ok(question(&visit, &shown)),
    }
}

async fn confirm(visit: Arc<Visit>) -> Result<Response, Problem> {
    let (sid, token) = (visit.query.text("sid"), visit.query.text("token"));
    match visit.app.accounts.confirm_proof(sid, token).await {
        Ok(shown) => Ok(done(&visit, &shown)),
        Err(AccountsError::AddressUnproved) => Ok(too_old(&visit)),
        Err(error) => {
            let (status, why) = Problem::from(error).at_form(visit.lang)?;
            let title = visit.t("Das hat nicht geklappt", "That did not work");
            Ok(message(&visit, status, title, &why, None))
        }
    }
}

fn question(visit: &Visit, shown: &ShownProof) -> Response {
    let (title, text, button) = match &shown.purpose {
        ProofPurpose::Registration => (
            visit.t("E-Mail-Adresse bestätigen", "Confirm your mail address"),
            visit.t(
                "Mit dieser Adresse soll ein Konto angelegt werden:",
                "An account is to be created with this address:",
            ),
            visit.t("Adresse bestätigen", "Confirm the address"),
        ),
        ProofPurpose::Account | ProofPurpose::Own(_) => (
            visit.t("E-Mail-Adresse bestätigen", "Confirm your mail address"),
            visit.t(
                "Diese Adresse soll zu einem Konto hinzugefügt werden:",
                "This address is to be added to an account:",
            ),
            visit.t("Adresse bestätigen", "Confirm the address"),
        ),
        ProofPurpose::Password => (
            visit.t("Passwort zurücksetzen", "Reset your password"),
            visit.t(
                "Für das Konto mit dieser Adresse soll ein neues Passwort gesetzt werden:",
                "A new password is to be set for the account with this address:",
            ),
            visit.t("Neues Passwort erlauben", "Allow a new password"),
        ),
    };
    let body = html! {
        p { (text) " " strong { (shown.address.as_str()) } }
        @if let ProofPurpose::Own(user) = &shown.purpose {
            p { (visit.t("Das Konto ist", "The account is")) " " strong { (user) } }
        }
        p {
            (visit.t(
                "Haben Sie das nicht veranlasst? Dann schließen Sie diese Seite.",
                "Was it not you who asked for it? Then close this page.",
            ))
        }
        (forms::form(visit, &visit.here(), &forms::submit(button)))
    };
    layout::page(visit, StatusCode::OK, title, &body)
}

/// Back to the client, if it is one that people may be sent to.
fn done(visit: &Visit, shown: &ShownProof) -> Response {
    if let ProofPurpose::Own(_) = shown.purpose {
        return added(visit, shown);
    }
    let proofs = visit.app.settings.mail.as_ref();
    let next = shown.next_link.as_deref();
    // Checked when it was stored; the list may have become shorter since.
    let next = next.filter(|next| proofs.is_some_and(|proofs| proofs.may_lead_to(next)));
    if let (Some(next), true) = (next, visit.is_post) {
        return redirect(next);
    }
    let title = visit.t("Bestätigt", "Confirmed");
    let text = visit.t(
        "Vielen Dank. Bitte kehren Sie zu der Anwendung zurück, in der Sie begonnen haben.",
        "Thank you. Please go back to the application in which you started.",
    );
    message(visit, StatusCode::OK, title, text, None)
}

/// The address is the account's now.
fn added(visit: &Visit, shown: &ShownProof) -> Response {
    let body = html! {
        (forms::done(visit.t("Die Adresse gehört jetzt zu Ihrem Konto.", "The address is now part of your account.")))
        p { strong { (shown.address.as_str()) } }
        p { a href=(emails::PATH) { (visit.t("Ihre E-Mail-Adressen", "Your mail addresses")) } }
    };
    layout::page(visit, StatusCode::OK, visit.t("Bestätigt", "Confirmed"), &body)
}

fn too_old(visit: &Visit) -> Response {
    let title = visit.t("Der Link gilt nicht mehr", "This link is no longer valid");
    let text = visit.t(
        "Er ist zu alt, schon benutzt oder unvollständig. Bitte fordern Sie einen neuen an.",
        "It is too old, was used already, or is incomplete. Please ask for a new one.",
    );
    message(visit, StatusCode::NOT_FOUND, title, text, None)
}
