//! Mail through an SMTP relay.
//!
//! A mail is sent in the background, so that nobody learns from the time a request takes whether
//! there was one to send. It is tried a few times; a mail that waits when the server stops is lost,
//! and whoever waits for it asks for another.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use blaupause_accounts::{EmailAddress, Secret};
use blaupause_data::Env;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Until a connection to the relay stands.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// How long the relay may take for a mail. The library counts no time once it is connected.
const TALK_MAX: Duration = Duration::from_secs(2 * 60);
/// Pauses before a mail is tried again.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(60), Duration::from_secs(5 * 60)];
/// Mails that wait to be sent.
const WAITING_MAX: usize = 500;
/// When to ask again if so many wait.
const WAITING_RETRY_MS: u64 = 60_000;
/// Mails to one address: so many at once …
const PER_ADDRESS_BURST: f64 = 5.0;
/// … and then one in so many milliseconds.
const PER_ADDRESS_MS: f64 = 10.0 * 60.0 * 1000.0;
/// Addresses whose last mails are remembered.
const ADDRESSES_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");

/// Whether mail goes to the relay encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// From the first byte.
    Tls,
    /// After the greeting; a relay that cannot gets nothing.
    StartTls,
    /// No.
    None,
}

/// How mail is sent.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// The relay's host name.
    pub server: String,
    pub port: u16,
    pub tls: MailTls,
    pub login: Option<(String, Secret)>,
    /// `a@example.org` or `Name <a@example.org>`.
    pub from: String,
    /// How this server calls itself.
    pub own_name: String,
    /// A certificate (PEM) that is trusted besides the system's.
    pub extra_ca: Option<Vec<u8>>,
}

/// Why no mail was taken.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The settings cannot be used.
    #[error("mail: {0}")]
    Setup(String),
    /// Too many to this address, or too many altogether.
    #[error("too many mails, try again later")]
    TooMany { retry_after_ms: u64 },
}

/// A mail as plain text.
#[derive(Clone)]
pub struct Mail {
    pub to: EmailAddress,
    pub subject: String,
    pub text: String,
}

/// Sends mail. Cheap to clone.
#[derive(Clone)]
pub struct Mailer(Arc<Inner>);

struct Inner {
    env: Env,
    relay: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    own_name: String,
    waiting: Arc<Semaphore>,
    /// What each address still has of its limit, and since when.
    taken: Mutex<LruCache<EmailAddress, (f64, u64)>>,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mailer")
    }
}

impl Mailer {
    /// Does not connect yet.
    ///
    /// # Errors
    /// The sender is no address, or a certificate cannot be read.
    pub fn new(env: Env, settings: MailSettings) -> Result<Self, MailError> {
        let setup = |error: &dyn std::fmt::Display| MailError::Setup(error.to_string());
        let from = settings.from.parse::<Mailbox>().map_err(|error| setup(&error))?;
        let encrypted = || -> Result<TlsParameters, MailError> {
            let mut tls = TlsParameters::builder(settings.server.clone());
            if let Some(pem) = &settings.extra_ca {
                let extra = Certificate::from_pem(pem).map_err(|error| setup(&error))?;
                tls = tls.add_root_certificate(extra);
            }
            tls.build_rustls().map_err(|error| setup(&error))
        };
        let tls = match settings.tls {
            MailTls::Tls => Tls::Wrapper(encrypted()?),
            MailTls::StartTls => Tls::Required(encrypted()?),
            MailTls::None => Tls::None,
        };
        let mut relay = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.server)
            .port(settings.port)
            .timeout(Some(CONNECT_MAX))
            .hello_name(ClientId::Domain(settings.own_name.clone()))
            .tls(tls);
        if let Some((name, password)) = settings.login {
            relay = relay.credentials(Credentials::new(name, password.reveal().to_owned()));
        }
        let relay = relay.build();
        let waiting = Arc::new(Semaphore::new(WAITING_MAX));
        let taken = Mutex::new(LruCache::new(ADDRESSES_MAX));
        let own_name = settings.own_name;
        Ok(Self(Arc::new(Inner { env, relay, from, own_name, waiting, taken })))
    }

    /// Take one mail from an address's limit, whether or not there will be one: who is asked about
    /// an address that nobody has must not be told apart by it.
    ///
    /// # Errors
    /// [`MailError::TooMany`].
    pub fn count(&self, to: &EmailAddress) -> Result<(), MailError> {
        let now = self.0.env.now_millis();
        let mut taken = self.0.taken.lock();
        let (used, since) = taken.get_or_insert_mut(to.clone(), || (0.0, now));
        let passed_ms = now.saturating_sub(*since) as f64;
        let left = (*used - passed_ms / PER_ADDRESS_MS).max(0.0);
        (*used, *since) = (left, now);
        if left + 1.0 > PER_ADDRESS_BURST {
            let wait = (left + 1.0 - PER_ADDRESS_BURST) * PER_ADDRESS_MS;
            return Err(MailError::TooMany { retry_after_ms: wait.ceil() as u64 });
        }
        *used = left + 1.0;
        Ok(())
    }

    /// Send a mail soon. What goes wrong is in the log: whoever asked has gone by then.
    ///
    /// # Errors
    /// [`MailError::TooMany`] wait already.
    pub fn send(&self, mail: Mail) -> Result<(), MailError> {
        let full = |_| MailError::TooMany { retry_after_ms: WAITING_RETRY_MS };
        let place = Arc::clone(&self.0.waiting).try_acquire_owned().map_err(full)?;
        let message = self.message(mail)?;
        let mailer = self.clone();
        self.0.env.spawn(async move {
            mailer.deliver(message).await;
            drop(place);
        });
        Ok(())
    }

    fn message(&self, mail: Mail) -> Result<Message, MailError> {
        let setup = |error: &dyn std::fmt::Display| MailError::Setup(error.to_string());
        let to: Address = mail.to.as_str().parse().map_err(|error| setup(&error))?;
        let id = self.0.env.random_text::<18>();
        // No vacation notes in answer (RFC 3834).
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(self.0.from.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.subject)
            .message_id(Some(format!("<{id}@{}>", self.0.own_name)))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text)
            .map_err(|error| setup(&error))
    }

    async fn deliver(&self, message: Message) {
        let stop = self.0.env.stop().clone();
        for pause in PAUSES.into_iter().map(Some).chain([None]) {
            let sent = tokio::time::timeout(TALK_MAX, self.0.relay.send(message.clone())).await;
            let (error, is_final) = match sent {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => (error.to_string(), error.is_permanent()),
                Err(_) => ("it did not answer in time".to_owned(), false),
            };
            // Neither the address nor the text is anybody's business who reads the log.
            match pause.filter(|_| !is_final) {
                Some(pause) => {
                    tracing::warn!(%error, "the mail relay did not take a mail, which is tried again");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
                None => {
                    tracing::error!(%error, "the mail relay did not take a mail, which is given up");
                    return;
                }
            }
        }
    }
}
