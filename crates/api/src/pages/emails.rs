//! A person's mail addresses. A new one is asked for here and added by the page behind the link in
//! the mail (`email.rs`).

use std::sync::Arc;

use axum::{Router, response::Response};
use blaupause_accounts::{AskedProof, EmailAddress, OwnedAddress, ProofPurpose};
use http::{Method, StatusCode};
use maud::{Markup, html};

use super::{
    Problem, Visit, date,
    forms::{self, Field},
    layout,
    proof::{self, Asked},
    redirect, serve,
};
use crate::{App, limits::Kind, mail::MailProofs};

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, PATH, list);
    let router = serve(router, Method::GET, ADD, show);
    let router = serve(router, Method::POST, ADD, add);
    let router = serve(router, Method::GET, REMOVE, ask);
    serve(router, Method::POST, REMOVE, remove)
}

/// The list.
pub(super) const PATH: &str = "/account/emails";
const ADD: &str = "/account/add-email";
const REMOVE: &str = "/account/remove-email";

async fn list(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(browser) = &visit.browser else { return Ok(visit.to_login()) };
    let addresses = visit.app.accounts.addresses(&browser.user_id).await?;
    let body = html! {
        @if visit.query.get("done").is_some() {
            (forms::done(visit.t("Die Adresse ist entfernt.", "The address has been removed.")))
        }
        @if addresses.is_empty() {
            p { (visit.t("Ihr Konto hat keine E-Mail-Adresse.", "Your account has no mail address.")) }
        } @else {
            ul.list { @for address in &addresses { li { (about(&visit, address)) } } }
        }
        @if visit.app.settings.mail.is_some() {
            p { a.button href=(ADD) { (visit.t("Adresse hinzufügen", "Add an address")) } }
        }
    };
    Ok(layout::page(&visit, StatusCode::OK, title(&visit), &body))
}

fn title(visit: &Visit) -> &str {
    visit.t("E-Mail-Adressen", "Mail addresses")
}

fn about(visit: &Visit, address: &OwnedAddress) -> Markup {
    let remove = visit.t("Entfernen", "Remove");
    let name = address.address.as_str();
    html! {
        h2 { (name) }
        p.hint { (visit.t("Bestätigt:", "Confirmed:")) " " (date::shown(address.validated_ms, visit.lang)) }
        p {
            a href=(visit.link(REMOVE, &[("address", name)])) aria-label=(format!("{remove}: {name}")) {
                (remove)
            }
        }
    }
}

async fn show(visit: Arc<Visit>) -> Result<Response, Problem> {
    Ok(match proof::ask(&visit).await? {
        Err(instead) => instead,
        Ok(_) if visit.app.settings.mail.is_none() => no_mail(&visit),
        Ok(asked) => page(&visit, &asked, StatusCode::OK, Wrong::Nothing, None),
    })
}

/// Send a mail to the address, if it is the account's person who asks: an address is a way to a
/// new password.
async fn add(visit: Arc<Visit>) -> Result<Response, Problem> {
    let asked = match proof::ask(&visit).await? {
        Ok(asked) => asked,
        Err(instead) => return Ok(instead),
    };
    let Some(proofs) = &visit.app.settings.mail else { return Ok(no_mail(&visit)) };
    visit.count(Kind::Login, 1.0)?;
    let Some(address) = EmailAddress::parse(visit.form.text("email").trim()) else {
        let why = visit.t("Das ist keine E-Mail-Adresse.", "This is no mail address.");
        return Ok(page(&visit, &asked, StatusCode::BAD_REQUEST, Wrong::Address, Some(why)));
    };
    if let Err((status, why)) = asked.check(&visit).await? {
        return Ok(page(&visit, &asked, status, Wrong::Password, Some(&why)));
    }
    match send(&visit, proofs, &asked, &address).await {
        Ok(()) => Ok(sent(&visit, &address)),
        Err(problem) => {
            let (status, why) = problem.at_form(visit.lang)?;
            Ok(page(&visit, &asked, status, Wrong::Address, Some(&why)))
        }
    }
}

async fn send(
    visit: &Visit,
    proofs: &MailProofs,
    asked: &Asked<'_>,
    address: &EmailAddress,
) -> Result<(), Problem> {
    let purpose = ProofPurpose::Own(asked.browser.user_id.clone());
    proofs.mailer.count(address).map_err(crate::ApiError::from)?;
    let opened = visit
        .app
        .accounts
        .open_proof(AskedProof {
            purpose: &purpose,
            address,
            // The account stands in the purpose, and nobody comes back with the session.
            client_secret: "",
            // Each time somebody presses the button, a mail is sent.
            send_attempt: visit.app.data.env().now_millis(),
            next_link: None,
        })
        .await?;
    if let Some(token) = &opened.token {
        let server = visit.app.data.server_name().as_str();
        let mail = proofs.question(server, &purpose, address.clone(), &opened.sid, token);
        proofs.mailer.send(mail).map_err(crate::ApiError::from)?;
    }
    Ok(())
}

/// Which field an error concerns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    Address,
    Password,
}

fn page(
    visit: &Visit,
    asked: &Asked<'_>,
    status: StatusCode,
    wrong: Wrong,
    why: Option<&str>,
) -> Response {
    let hint = visit.t(
        "Dorthin senden wir einen Link. Erst wenn Sie ihm folgen, gehört die Adresse zu Ihrem Konto.",
        "We send a link there. The address becomes part of your account when you follow it.",
    );
    let form = html! {
        (Field {
            name: "email",
            label: visit.t("E-Mail-Adresse", "Mail address"),
            kind: "email",
            autocomplete: "email",
            value: visit.form.text("email"),
            hint: Some(hint),
            is_wrong: wrong == Wrong::Address,
        }.show())
        (asked.field(visit, why.filter(|_| wrong == Wrong::Password)))
        (forms::submit(visit.t("Link senden", "Send the link")))
    };
    let body = html! {
        (forms::error(why))
        (forms::form(visit, ADD, &form))
    };
    let title = visit.t("E-Mail-Adresse hinzufügen", "Add a mail address");
    layout::page(visit, status, title, &body)
}

fn sent(visit: &Visit, address: &EmailAddress) -> Response {
    let body = html! {
        (forms::done(visit.t("Wir haben einen Link gesendet an:", "We have sent a link to:")))
        p { strong { (address.as_str()) } }
        p {
            (visit.t(
                "Folgen Sie ihm innerhalb von 24 Stunden; das geht auch in einem anderen Browser. \
                 Kommt nichts an, sehen Sie bitte auch bei den unerwünschten Nachrichten nach.",
                "Follow it within 24 hours; any browser will do. If nothing arrives, please look \
                 among the unwanted mails, too.",
            ))
        }
        p { a href=(PATH) { (visit.t("Ihre E-Mail-Adressen", "Your mail addresses")) } }
    };
    let title = visit.t("Bitte sehen Sie in Ihr Postfach", "Please look into your mailbox");
    layout::page(visit, StatusCode::OK, title, &body)
}

fn no_mail(visit: &Visit) -> Response {
    let text = visit.t(
        "Dieser Server sendet keine E-Mails. Bitte wenden Sie sich an Ihre Administration.",
        "This server sends no mails. Please contact your administrators.",
    );
    super::message(visit, StatusCode::NOT_FOUND, title(visit), text, None)
}

async fn ask(visit: Arc<Visit>) -> Result<Response, Problem> {
    if visit.browser.is_none() {
        return Ok(visit.to_login());
    }
    let form = html! {
        div.buttons {
            button.danger type="submit" { (visit.t("Entfernen", "Remove")) }
            a.button.quiet href=(PATH) { (visit.t("Abbrechen", "Cancel")) }
        }
    };
    let body = html! {
        p { strong { (visit.query.text("address")) } }
        p {
            (visit.t(
                "Mit dieser Adresse können Sie sich danach nicht mehr anmelden und kein vergessenes \
                 Passwort ersetzen.",
                "You can then no longer sign in with this address or replace a forgotten password.",
            ))
        }
        (forms::form(&visit, &visit.here(), &form))
    };
    let title = visit.t("Adresse entfernen?", "Remove the address?");
    Ok(layout::page(&visit, StatusCode::OK, title, &body))
}

async fn remove(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(browser) = &visit.browser else { return Ok(visit.to_login()) };
    if browser.is_suspended {
        let text = visit.t(
            "Ihr Konto ist eingeschränkt: Adressen können nicht entfernt werden.",
            "Your account is suspended: addresses cannot be removed.",
        );
        return Ok(super::message(&visit, StatusCode::FORBIDDEN, title(&visit), text, None));
    }
    let address = visit.query.text("address");
    // Gone already is as good.
    visit.app.accounts.remove_address(&browser.user_id, "email", address).await?;
    Ok(redirect("/account/emails?done=1"))
}
