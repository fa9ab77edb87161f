//! What mails say, and where their links lead.

use blaupause_accounts::{EmailAddress, ProofPurpose, Secret};
use blaupause_notify::{Mail, Mailer};
use url::{Url, form_urlencoded::Serializer};

/// Where a link in a mail leads.
pub(crate) const CONFIRM: &str = "/account/email/confirm";

/// How people prove their mail addresses.
#[derive(Clone, Debug)]
pub struct MailProofs {
    pub mailer: Mailer,
    /// `https://matrix.example.org`, without a slash at the end.
    pub link_base: String,
    /// Hosts of pages that clients may have people sent to afterwards.
    pub next_link_hosts: Vec<String>,
}

impl MailProofs {
    /// Whether browsers come by HTTPS, so that cookies can be bound to it.
    pub(crate) fn is_secure(&self) -> bool {
        self.link_base.starts_with("https://")
    }

    /// Whether people may be sent there. Otherwise anybody could write links of this server that
    /// lead anywhere.
    pub(crate) fn may_lead_to(&self, next: &str) -> bool {
        let Ok(url) = Url::parse(next) else { return false };
        let is_plain = url.scheme() == "https"
            && url.username().is_empty()
            && url.password().is_none()
            && next.bytes().all(|b| b.is_ascii_graphic());
        is_plain
            && url.host_str().is_some_and(|host| {
                self.next_link_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
            })
    }

    /// The mail that asks whether an address is somebody's.
    pub(crate) fn question(
        &self,
        server: &str,
        purpose: &ProofPurpose,
        to: EmailAddress,
        sid: &str,
        token: &Secret,
    ) -> Mail {
        let query = Serializer::new(String::new())
            .extend_pairs([("sid", sid), ("token", token.reveal())])
            .finish();
        let link = format!("{}{CONFIRM}?{query}", self.link_base);
        let (subject_de, subject_en, de, en) = words(purpose);
        // Nothing of what a stranger may have typed is in it: such mails would carry their texts.
        let text = format!(
            "{de}\n\n{link}\n\nWenn Sie das nicht waren, tun Sie nichts: Dann geschieht auch nichts.\n\
             \n-- \n\n{en}\n\n{link}\n\nIf that was not you, do nothing: nothing will happen then.\n\
             \n-- \n{server}\n"
        );
        Mail { to, subject: format!("{subject_de} / {subject_en} ({server})"), text }
    }
}

/// Subjects and texts, German and English.
fn words(purpose: &ProofPurpose) -> (&'static str, &'static str, &'static str, &'static str) {
    match purpose {
        ProofPurpose::Registration => (
            "E-Mail-Adresse bestätigen",
            "Confirm your mail address",
            "jemand legt mit dieser E-Mail-Adresse ein Konto an. Waren Sie das? Dann bestätigen Sie \
             es innerhalb von 24 Stunden auf dieser Seite:",
            "somebody is creating an account with this mail address. Was it you? Then confirm it \
             within 24 hours on this page:",
        ),
        ProofPurpose::Account | ProofPurpose::Own(_) => (
            "E-Mail-Adresse bestätigen",
            "Confirm your mail address",
            "jemand fügt diese E-Mail-Adresse einem Konto hinzu. Waren Sie das? Dann bestätigen Sie \
             es innerhalb von 24 Stunden auf dieser Seite:",
            "somebody is adding this mail address to an account. Was it you? Then confirm it within \
             24 hours on this page:",
        ),
        ProofPurpose::Password => (
            "Passwort zurücksetzen",
            "Reset your password",
            "jemand möchte das Passwort Ihres Kontos zurücksetzen. Waren Sie das? Dann bestätigen \
             Sie es innerhalb einer Stunde auf dieser Seite:",
            "somebody wants to reset the password of your account. Was it you? Then confirm it \
             within an hour on this page:",
        ),
    }
}
