//! A person decides whether a client gets access to their account.

use axum::response::Response;
use blaupause_accounts::{
    AuthorizationRequest, Browser, ClientMetadata, DeviceInfo, PendingDeviceGrant,
};
use http::StatusCode;
use maud::{Markup, html};
use url::Url;

use super::{Visit, forms, layout};

/// The page of the authorization code flow. `existing`: the device that the client wants to be, if
/// the person has it already.
pub(crate) fn page(
    visit: &Visit,
    browser: &Browser,
    request: &AuthorizationRequest,
    existing: Option<&DeviceInfo>,
) -> Response {
    let metadata = &request.client.metadata;
    let target = Target::of(request.back.uri());
    let body = html! {
        (asks(visit, metadata, browser))
        (replaces(visit, existing))
        p { (target.text(visit)) }
        (decision(visit, &visit.here()))
        (another_account(visit))
    };
    let title = visit.t("Zugriff erlauben?", "Allow access?");
    let leads_to = target.source();
    layout::page_leading_to(visit, StatusCode::OK, title, &body, leads_to.as_deref())
}

/// The page of the device grant, after the code was typed.
pub(super) fn device_page(
    visit: &Visit,
    browser: &Browser,
    grant: &PendingDeviceGrant,
    existing: Option<&DeviceInfo>,
) -> Response {
    let body = html! {
        (asks(visit, &grant.client.metadata, browser))
        (replaces(visit, existing))
        p {
            (visit.t(
                "Vergleichen Sie: Das andere Gerät muss genau diesen Code zeigen.",
                "Compare: the other device must show exactly this code.",
            ))
        }
        p.code { (grant.user_code) }
        p.error {
            (visit.t(
                "Erlauben Sie nichts, wenn Ihnen jemand anders den Code genannt oder geschickt hat.",
                "Do not allow anything if somebody else told or sent you the code.",
            ))
        }
        (decision(visit, &visit.here()))
        (another_account(visit))
    };
    layout::page(visit, StatusCode::OK, visit.t("Gerät verbinden?", "Connect the device?"), &body)
}

/// A client that nobody here uses made a request that is not right. Where its answer goes is for
/// the person to see first: otherwise a link to this server could lead to anywhere.
pub(crate) fn way_back(visit: &Visit, to: &str, why: &str) -> Response {
    let body = html! {
        p {
            (visit.t(
                "Eine Anwendung, die hier noch niemand benutzt, hat eine Anfrage gestellt, die nicht \
                 stimmt. Nichts wurde erlaubt.",
                "An application that nobody uses here yet made a request that is not right. Nothing \
                 was allowed.",
            ))
        }
        p { (Target::of(to).name(visit)) }
        p.detail { (visit.t("Einzelheit:", "Detail:")) " " code { (why) } }
        p { a.button.quiet href=(to) rel="noreferrer" { (visit.t("Zurück zur Anwendung", "Back to the application")) } }
    };
    let title = visit.t("Ungültige Anfrage", "Invalid request");
    layout::page(visit, StatusCode::BAD_REQUEST, title, &body)
}

fn asks(visit: &Visit, client: &ClientMetadata, browser: &Browser) -> Markup {
    html! {
        p {
            strong { bdi { (client.display_name()) } } " "
            (visit.t("möchte Zugriff auf Ihr Konto", "wants access to your account")) " "
            strong { (browser.user_id.as_str()) } "."
        }
        p { (visit.t("Die Anwendung kann dann:", "The application will be able to:")) }
        ul {
            li { (visit.t("Ihre Räume und Nachrichten lesen", "read your rooms and messages")) }
            li { (visit.t("in Ihrem Namen schreiben und handeln", "write and act in your name")) }
            li { (visit.t("Ihr Profil und Ihre Einstellungen ändern", "change your profile and settings")) }
        }
        (links(visit, client))
    }
}

/// A client may ask to be a device that exists already, which then is signed out.
fn replaces(visit: &Visit, existing: Option<&DeviceInfo>) -> Markup {
    html! {
        @if let Some(device) = existing {
            p.error {
                (visit.t(
                    "Dabei endet Ihre Sitzung auf einem Gerät, das Sie schon haben:",
                    "This ends your session on a device that you have already:",
                )) " "
                strong { (device.display_name.as_deref().unwrap_or(device.device_id.as_str())) }
            }
        }
    }
}

fn links(visit: &Visit, client: &ClientMetadata) -> Markup {
    let all = [
        (Some(&client.uri), visit.t("Über die Anwendung", "About the application")),
        (client.policy_uri.as_ref(), visit.t("Datenschutz", "Privacy policy")),
        (client.tos_uri.as_ref(), visit.t("Nutzungsbedingungen", "Terms of service")),
    ];
    html! {
        ul.pages {
            @for (uri, text) in all {
                @if let Some(uri) = uri {
                    li { a href=(uri) rel="noopener noreferrer nofollow" { (text) } }
                }
            }
        }
    }
}

fn decision(visit: &Visit, action: &str) -> Markup {
    forms::form(
        visit,
        action,
        &html! {
            div.buttons {
                button type="submit" name="decision" value="allow" { (visit.t("Erlauben", "Allow")) }
                button.quiet type="submit" name="decision" value="deny" { (visit.t("Ablehnen", "Deny")) }
            }
        },
    )
}

pub(super) fn another_account(visit: &Visit) -> Markup {
    let action = visit.link("/account/logout", &[("next", &visit.here())]);
    forms::form(
        visit,
        &action,
        &html! {
            p {
                button.quiet type="submit" { (visit.t("Mit anderem Konto anmelden", "Use another account")) }
            }
        },
    )
}

/// Where the browser goes next. The address, not the name, shows who gets access.
pub(super) enum Target {
    Site { host: String, origin: String },
    Loopback { origin: String },
    App { scheme: String },
}

impl Target {
    pub(super) fn of(uri: &str) -> Self {
        let Ok(parsed) = Url::parse(uri) else {
            // Registered addresses can be read.
            return Self::App { scheme: uri.split(':').next().unwrap_or_default().to_owned() };
        };
        let origin = parsed.origin().ascii_serialization();
        match (parsed.scheme(), parsed.host_str()) {
            ("https", Some(host)) => Self::Site { host: host.to_owned(), origin },
            // A policy cannot name an IPv6 address (CSP 3, section 2.3.1).
            ("http", Some("[::1]")) => Self::Loopback { origin: "http:".to_owned() },
            ("http", _) => Self::Loopback { origin },
            (scheme, _) => Self::App { scheme: scheme.to_owned() },
        }
    }

    pub(super) fn name(&self, visit: &Visit) -> Markup {
        html! {
            (visit.t("Die Anwendung ist:", "The application is:")) " "
            @match self {
                Self::Site { host, .. } => strong { (host) },
                Self::Loopback { .. } | Self::App { .. } => {
                    (visit.t("ein Programm auf diesem Gerät", "a program on this device"))
                }
            }
        }
    }

    /// As a source of a content security policy.
    pub(super) fn source(&self) -> Option<String> {
        Some(match self {
            Self::Site { origin, .. } | Self::Loopback { origin } => origin.clone(),
            Self::App { scheme } => format!("{scheme}:"),
        })
    }

    pub(super) fn text(&self, visit: &Visit) -> Markup {
        html! {
            @match self {
                Self::Site { host, .. } => {
                    (visit.t("Danach geht es weiter zu", "You will be sent on to")) " "
                    strong { (host) } ". "
                    (visit.t(
                        "Erlauben Sie den Zugriff nur, wenn Sie dieser Adresse vertrauen.",
                        "Allow access only if you trust this address.",
                    ))
                }
                Self::Loopback { .. } | Self::App { .. } => {
                    (visit.t(
                        "Danach geht es weiter in einem Programm auf diesem Gerät. Erlauben Sie den \
                         Zugriff nur, wenn Sie die Anmeldung gerade selbst dort begonnen haben.",
                        "You will be sent on to a program on this device. Allow access only if you \
                         have just started to sign in there yourself.",
                    ))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_may_lead_to_the_client_and_nowhere_else() {
        for (uri, wanted) in [
            ("https://app.example.com/callback?x=1", "https://app.example.com"),
            ("https://example.com:5173/", "https://example.com:5173"),
            ("http://127.0.0.1:49152/callback", "http://127.0.0.1:49152"),
            ("http://[::1]:49152/", "http:"),
            ("io.element.android:/", "io.element.android:"),
            ("com.example:callback", "com.example:"),
        ] {
            assert_eq!(Target::of(uri).source().as_deref(), Some(wanted), "{uri}");
        }
    }
}
