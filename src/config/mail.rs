//! `[mail]`: how the server sends mail, and which addresses people may have.

use std::path::PathBuf;

use blaupause_accounts::{EmailAddress, EmailDomains};
use serde::{Deserialize, Serialize};

use super::{Findings, Maybe, server::check_url};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// The relay's host name. Not set: nothing is sent, and nobody can prove an address.
    pub server: Maybe<String>,
    pub port: u16,
    pub tls: MailTls,
    pub username: Maybe<String>,
    pub password_file: Maybe<PathBuf>,
    /// The sender: `matrix@example.org` or `Name <matrix@example.org>`.
    pub from: Maybe<String>,
    /// Where links in mails lead. Not set: `server.public_base_url`.
    pub link_base: Maybe<String>,
    /// Hosts of pages that clients may have people sent to after a confirmation.
    pub next_link_hosts: Vec<String>,
    /// Domains of addresses that people may have. Empty: all.
    pub allowed_domains: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// Encrypted from the first byte.
    Tls,
    /// Encrypted after the greeting; otherwise nothing is sent.
    #[default]
    Starttls,
    /// In clear.
    None,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            server: Maybe::none(),
            port: 587,
            tls: MailTls::default(),
            username: Maybe::none(),
            password_file: Maybe::none(),
            from: Maybe::none(),
            link_base: Maybe::none(),
            next_link_hosts: Vec::new(),
            allowed_domains: Vec::new(),
        }
    }
}

impl Mail {
    /// `base_url`: where the server is seen from outside.
    pub(super) fn check(&self, base_url: Option<&str>, found: &mut Findings) {
        if let Err(text) = EmailDomains::parse(&self.allowed_domains) {
            found.error("mail.allowed_domains", text);
        }
        for host in &self.next_link_hosts {
            if host.is_empty() || host.contains(['/', '*', '@', ' ']) {
                found.error("mail.next_link_hosts", format!("`{host}` is not a host name"));
            }
        }
        if let Some(url) = self.link_base.text() {
            check_url(found, "mail.link_base", url);
        }
        let Some(server) = self.server.text() else { return };
        match self.from.text() {
            None => found.error("mail.from", "must be set, because mail.server is"),
            Some(from) if EmailAddress::parse(address_in(from)).is_none() => {
                found.error("mail.from", "is neither an address nor `Name <address>`");
            }
            Some(_) => {}
        }
        if self.link_base.text().or(base_url).is_none() {
            let text = "or server.public_base_url must be set: mails hold whole addresses";
            found.error("mail.link_base", text);
        }
        if self.username.text().is_some() != self.password_file.path().is_some() {
            found.error("mail.password_file", "goes together with mail.username");
        }
        let is_here = server == "localhost" || server == "127.0.0.1" || server == "::1";
        if self.tls == MailTls::None && !is_here {
            found.warn("mail.tls", "sends links that open accounts over the network in clear");
        }
    }

    /// Where links in mails lead; `None`: no mail is sent.
    pub fn link_base<'a>(&'a self, base_url: Option<&'a str>) -> Option<&'a str> {
        self.server.text()?;
        self.link_base.text().or(base_url).map(|url| url.trim_end_matches('/'))
    }

    /// Domains of addresses that people may have.
    ///
    /// # Panics
    /// If they are none: `load()` refuses such a file.
    pub fn domains(&self) -> EmailDomains {
        EmailDomains::parse(&self.allowed_domains).expect("load() refuses other domains")
    }
}

/// `a@b.c` of `Name <a@b.c>`.
fn address_in(from: &str) -> &str {
    match from.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => from,
    }
}
